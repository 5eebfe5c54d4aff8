"""The engine of this machine: a client's private tensors stay where it put them, and workers change no number."""

from pathlib import Path

import pytest
from made_clients import method
from made_federation import engine, federation
from torch.testing import assert_close

from fedcmr.engines.in_process import Knobs
from fedcmr.messages import Server

DUAL = method("med_dual_lora", "shared")


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(ValueError, match=r"engine\.workers=0: expected at least 1"):
        Knobs(workers=0)


def test_before_the_first_round_only_shared_tensors_are_sent() -> None:
    made = engine(federation(DUAL))
    roles = DUAL.strategy.roles(made.names, 1)
    assert {roles[name].value for name in made.initial().sent} == {"shared"}
    assert set(made.sent_bytes(made.initial())) == set(made.clients)


def test_what_a_client_keeps_comes_back_bit_by_bit(tmp_path: Path) -> None:
    made, other = engine(federation(DUAL)), engine(federation(DUAL))
    list(made.train(made.initial(), made.clients))
    made.save(tmp_path)
    other.load(tmp_path)
    for client in made.clients:
        assert_close(dict(other.kept[client]), dict(made.kept[client]), rtol=0.0, atol=0.0)


def test_each_client_is_scored_in_both_views() -> None:
    made = engine(federation(DUAL))
    predictions = made.evaluate(Server(1, made.initial().sent), "val").predictions
    assert {(one.client, one.view) for one in predictions} == {
        (client, view) for client in made.clients for view in ("personal", "global")
    }
