"""What travels and what is written down."""

import json
import pickle
from dataclasses import asdict

from fedcmr.messages import Refusal, Round, Server, Update


def test_a_round_can_be_written_as_one_line_of_json() -> None:
    closed = Round(
        number=1,
        weights={"a": 1.0},
        losses={"a": 0.7},
        scores={"a": {"personal": {"balanced_accuracy": None}}},
        bytes_up={"a": 10},
        bytes_down={"a": 20},
        refused=(Refusal("b", 1, "it holds values that are not finite"),),
    )
    line = json.loads(json.dumps(asdict(closed)))
    assert line["number"] == 1
    assert line["scores"]["a"]["personal"]["balanced_accuracy"] is None
    assert line["refused"] == [{"client": "b", "round": 1, "reason": "it holds values that are not finite"}]


def test_messages_survive_pickling_and_share_no_default() -> None:
    update = Update("a", 1, {}, cases=3)
    assert pickle.loads(pickle.dumps(update)) == update
    assert update.scores is not Update("b", 1, {}, cases=3).scores
    assert Server(0, {}).memory is not Server(0, {}).memory
