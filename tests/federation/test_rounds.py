"""The loop, on an engine without a model: each client adds a number of its own to what was sent."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.federation.client import Handover
from fedcmr.federation.door import hand_over
from fedcmr.federation.failing import Failed
from fedcmr.federation.replaying import replay_of
from fedcmr.federation.rounds import RULES, Closed, Missed, Rules, TooFewClientsError, Visited, rounds
from fedcmr.federation.scoring import Scored
from fedcmr.messages import Absence, Prediction, Refusal, Round, Server, Update
from fedcmr.strategy.roles import Role
from fedcmr.strategy.strategy import Strategy

NAME = "head.cls.bias"
CASES = {"GE": 1, "Philips": 2, "Siemens": 5}
STEPS = {"GE": 0.1, "Philips": -3.0, "Siemens": 1 / 3}


@dataclass
class AddingEngine:
    """An engine whose clients add STEPS to the one shared number.

    Args:
        order: in which clients hand over.
        spoiled: (round, client) -> what it sends instead of its number.
        failing: (round, client) -> the cause of its failure in its visit.
        unscored: the same in scoring.
    """

    order: Sequence[str] = tuple(CASES)
    spoiled: Mapping[tuple[int, str], Tensor] = field(default_factory=dict)
    failing: Mapping[tuple[int, str], str] = field(default_factory=dict)
    unscored: Mapping[tuple[int, str], str] = field(default_factory=dict)

    def __enter__(self) -> "AddingEngine":
        return self

    def __exit__(self, *error: object) -> None: ...

    @property
    def clients(self) -> Sequence[str]:
        return tuple(CASES)

    def initial(self) -> Server:
        return Server(0, {NAME: torch.zeros(1)})

    def awaited(self, client: str, round: int) -> Mapping[str, Tensor]:
        return {NAME: torch.zeros(1)}

    def train(
        self, server: Server, participants: Sequence[str], absent: Collection[str] = ()
    ) -> Iterator[Handover | Failed]:
        number = server.round + 1
        for client in [client for client in self.order if client in participants and client not in absent]:
            if (number, client) in self.failing:
                yield Failed(client, self.failing[number, client], "a traceback")
                continue
            value = self.spoiled.get((number, client), server.sent[NAME] + STEPS[client])
            update = Update(client, number, {NAME: value}, CASES[client], {}, private_hash=f"{client} in {number}")
            yield Handover(client, hand_over(update, {NAME: Role.SHARED}), {}, loss=STEPS[client], seconds=0.0)

    def sent_bytes(self, server: Server) -> Mapping[str, int]:
        return dict.fromkeys(CASES, 10 * server.round)

    def evaluate(self, server: Server, part: str, failed: Sequence[Failed] = ()) -> Scored:
        row = Prediction("GE", "p1", part, "personal", 1, (0.25, 0.75))
        own = [Failed(client, cause) for (number, client), cause in self.unscored.items() if number == server.round]
        return Scored({"GE": {"personal": {"value": float(server.sent[NAME])}}}, {}, (row,), (*failed, *own))

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    def load(self, folder: Path) -> None:
        raise NotImplementedError


def run(
    engine: AddingEngine,
    count: int = 2,
    strategy: Strategy | None = None,
    server: Server | None = None,
    past: Sequence[Round] = (),
    rules: Rules = RULES,
) -> list[Visited | Missed | Closed]:
    return list(rounds(strategy or Strategy(), engine, count, server or engine.initial(), past, 3, rules))


def closed(events: Sequence[Visited | Missed | Closed]) -> list[Closed]:
    return [event for event in events if isinstance(event, Closed)]


NAN = torch.tensor([float("nan")])


def test_every_visit_and_then_the_end_of_its_round_is_told() -> None:
    told = [
        (event.handover.client, event.round) if isinstance(event, Visited) else ("closed", event.round.number)
        for event in run(AddingEngine())
    ]
    assert told == [(client, number) for number in (1, 2) for client in (*CASES, "closed")]


def test_a_round_ends_with_the_mean_over_patients() -> None:
    # (1·0.1 + 2·(−3) + 5/3) / 8 after one round, twice that after two
    one, two = closed(run(AddingEngine()))
    expected = torch.tensor([(0.1 - 6.0 + 5 / 3) / 8])
    assert_close(one.server.sent[NAME], expected)
    assert_close(two.server.sent[NAME], 2 * expected)
    assert one.round.scores["GE"]["personal"]["value"] == float(one.server.sent[NAME])


def test_a_round_writes_down_what_the_journal_needs() -> None:
    engine = AddingEngine()
    events = run(engine)
    _, two = closed(events)
    payloads = {event.handover.client: event.handover.payload for event in events if isinstance(event, Visited)}
    assert two.round.number == two.server.round == 2
    assert two.round.fold == 3
    assert two.round.weights == {"GE": 1 / 8, "Philips": 2 / 8, "Siemens": 5 / 8}
    assert two.round.losses == STEPS
    assert two.round.bytes_up == {client: len(sent) for client, sent in payloads.items()}
    assert two.round.bytes_down == dict.fromkeys(CASES, 10), "bytes of what was sent before the round, not after it"
    assert two.round.private_hashes == {client: f"{client} in 2" for client in CASES}
    assert two.round.refused == ()


def test_how_alike_updates_point_is_told_from_what_was_sent() -> None:
    # changes 0.1, -3 and 1/3 of one number: one of three pairs points alike, two do not
    for closing in closed(run(AddingEngine())):
        assert closing.round.aggregation["cosine"] == pytest.approx(-1 / 3)


def test_the_order_in_which_clients_arrive_changes_nothing() -> None:
    forwards = closed(run(AddingEngine()))
    backwards = closed(run(AddingEngine(order=("Siemens", "GE", "Philips"))))
    for one, two in zip(forwards, backwards, strict=True):
        assert one.round == two.round
        assert [list(one.round.weights), list(one.round.losses)] == [list(two.round.weights), list(two.round.losses)]
        assert torch.equal(one.server.sent[NAME], two.server.sent[NAME])


def test_an_update_of_nan_is_refused_and_named_and_the_round_goes_on() -> None:
    first, second, third = closed(run(AddingEngine(spoiled={(2, "Siemens"): NAN}), count=3))
    (refusal,) = second.round.refused
    assert (refusal.client, refusal.round) == ("Siemens", 2)
    assert refusal.reason == f"'{NAME}' holds values that are not finite"
    assert second.round.weights == {"GE": 1 / 3, "Philips": 2 / 3}
    # of the two that are left: (1·0.1 + 2·(−3)) / 3
    assert_close(second.server.sent[NAME] - first.server.sent[NAME], torch.tensor([-5.9 / 3]))
    assert third.round.refused == ()
    assert third.round.weights.keys() == CASES.keys()


def test_a_refused_client_is_written_down_with_its_bytes_and_its_last_good_hash() -> None:
    _, second = closed(run(AddingEngine(spoiled={(2, "Siemens"): NAN})))
    assert second.round.bytes_up.keys() == CASES.keys()
    assert second.round.private_hashes == {"GE": "GE in 2", "Philips": "Philips in 2", "Siemens": "Siemens in 1"}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.zeros(2), "is (2,) torch.float32, expected (1,)"),
        (torch.zeros(1).double(), "float64"),
        (torch.tensor([float("inf")]), "not finite"),
    ],
)
def test_an_update_of_another_form_is_refused(value: Tensor, reason: str) -> None:
    (only,) = closed(run(AddingEngine(spoiled={(1, "GE"): value}), count=1))
    (refusal,) = only.round.refused
    assert refusal.client == "GE"
    assert reason in refusal.reason


def test_with_fewer_updates_than_min_clients_the_federation_ends() -> None:
    engine = AddingEngine(spoiled={(2, "Siemens"): NAN, (2, "GE"): NAN})
    assert len(closed(run(engine))) == 2
    with pytest.raises(
        TooFewClientsError, match=r"Round 2: 1 updates were let in, at least 2 .*GE was .*; Siemens was "
    ):
        run(engine, rules=Rules(min_clients=2))


def test_a_client_that_fails_is_told_and_written_down_and_the_round_goes_on() -> None:
    events = run(AddingEngine(failing={(1, "Philips"): "OSError: gone"}))
    (missed,) = [event for event in events if isinstance(event, Missed)]
    assert (missed.failed.client, missed.round, missed.failed.trace) == ("Philips", 1, "a traceback")
    one, two = closed(events)
    assert one.round.absent == (Absence("Philips", 1, "OSError: gone"),)
    assert one.round.weights == {"GE": 1 / 6, "Siemens": 5 / 6}
    assert "Philips" not in {**one.round.losses, **one.round.bytes_up, **one.round.bytes_down}
    assert two.round.absent == ()
    assert two.round.weights.keys() == CASES.keys()


def test_too_few_clients_are_named_with_what_became_of_each() -> None:
    engine = AddingEngine(spoiled={(1, "GE"): NAN}, failing={(1, "Siemens"): "MemoryError"})
    with pytest.raises(TooFewClientsError, match=r"GE was refused: .*not finite; Siemens failed: MemoryError\."):
        run(engine, rules=Rules(min_clients=2))


def test_a_client_that_cannot_be_scored_is_written_down() -> None:
    (only,) = closed(run(AddingEngine(unscored={(1, "Siemens"): "OSError: gone"}), count=1))
    assert only.round.absent == (Absence("Siemens", 1, "scoring: OSError: gone"),)
    assert only.round.weights.keys() == CASES.keys(), "its update was let in before"


def test_an_update_far_from_the_others_is_refused() -> None:
    # changes 0.1, -3 and 1000: of the other two's median, 1.55, the last is 645 times
    engine = AddingEngine(spoiled={(1, "Siemens"): torch.tensor([1000.0])})
    (only,) = closed(run(engine, count=1, rules=Rules(norm_bound=600)))
    (refusal,) = only.round.refused
    assert refusal.client == "Siemens"
    assert "norm 1000, more than norm_bound=600 times the others' median 1.55" in refusal.reason
    assert closed(run(engine, count=1, rules=Rules(norm_bound=650)))[0].round.refused == ()
    assert closed(run(engine, count=1))[0].round.refused == ()


def test_a_run_repeats_the_absences_and_refusals_of_a_journal() -> None:
    faults = {
        "failing": {(1, "Philips"): "OSError: gone"},
        "spoiled": {(2, "GE"): NAN},
        "unscored": {(2, "Siemens"): "MemoryError"},
    }
    before = closed(run(AddingEngine(**faults), count=3))  # type: ignore[arg-type]
    journal = [event.round for event in before]
    again = closed(run(AddingEngine(), count=3, rules=Rules(replay=replay_of(journal))))
    assert [event.round for event in again] == journal
    assert torch.equal(again[-1].server.sent[NAME], before[-1].server.sent[NAME])
    assert [refusal for closing in again for refusal in closing.round.refused] == [
        Refusal("GE", 2, f"'{NAME}' holds values that are not finite")
    ]


def test_a_round_of_the_journal_judges_no_length_again() -> None:
    engine = AddingEngine(spoiled={(1, "Siemens"): torch.tensor([1000.0])})
    journal = [event.round for event in closed(run(engine, count=1))]
    bounded = Rules(norm_bound=600, replay=replay_of(journal))
    first, second = closed(
        run(AddingEngine(spoiled={(n, "Siemens"): torch.tensor([1e3 * n**9]) for n in (1, 2)}), rules=bounded)
    )
    assert first.round == journal[0], "what was let in there is let in here"
    assert [refusal.client for refusal in second.round.refused] == ["Siemens"], "later rounds are judged anew"


def test_a_journal_without_rounds_cannot_be_repeated() -> None:
    with pytest.raises(ValueError, match="--replay: the journal holds no round"):
        replay_of([])


def test_a_federation_of_which_nobody_is_left_ends() -> None:
    with pytest.raises(TooFewClientsError, match="Round 1: 0 updates"):
        run(AddingEngine(spoiled={(1, client): NAN for client in CASES}))


def test_rounds_taken_up_again_are_the_rounds_of_one_go() -> None:
    whole = closed(run(AddingEngine(), count=4))
    begun = closed(run(AddingEngine(), count=2))
    past = [event.round for event in begun]
    continued = closed(run(AddingEngine(), count=4, server=begun[-1].server, past=past))
    assert [event.round for event in (*begun, *continued)] == [event.round for event in whole]
    assert torch.equal(continued[-1].server.sent[NAME], whole[-1].server.sent[NAME])


def test_rounds_that_are_done_are_not_run_again() -> None:
    done = closed(run(AddingEngine()))
    assert run(AddingEngine(), count=2, server=done[-1].server, past=[event.round for event in done]) == []


def test_the_strategy_weighs_by_what_happened_before_and_remembers() -> None:
    seen: list[int] = []

    def by_past(updates: Sequence[Update], past: Sequence[Round]) -> list[float]:
        seen.append(len(past))
        return [1 / len(updates)] * len(updates)

    def remembering(updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[dict, dict]:
        before = server.memory.get(NAME, torch.zeros(1))
        return dict(updates[0].tensors), {NAME: before + 1}

    strategy = replace(Strategy(), weigh=by_past, combine=remembering)
    events = closed(run(AddingEngine(), count=3, strategy=strategy))
    assert seen == [0, 1, 2]
    assert float(events[-1].server.memory[NAME]) == 3.0
    assert events[-1].round.weights == dict.fromkeys(CASES, 1 / 3)
