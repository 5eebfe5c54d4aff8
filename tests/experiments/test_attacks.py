"""What a bad client hands over, what it learns from, and what reaches the server."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from attacks.engine import Attacked
from attacks.labels import flip_labels
from attacks.updates import Attack, ScaledNoise, Turn, as_trained, replayed, sign_flip
from made_clients import Method, method
from made_federation import engine, federation
from torch.testing import assert_close

from fedcmr.federation.client import Handover
from fedcmr.federation.door import unpack
from fedcmr.federation.rounds import Closed, Visited, rounds
from fedcmr.messages import Server
from fedcmr.strategy.vectors import joined
from fedcmr.tensors import Tensors

NAME = "head.cls.bias"
BAD, GOOD = "vendorC", "vendorA"
PLAIN: Method = method("med_dual_lora", "shared")


def turn(received: float, trained: float, round: int = 1, earlier: Sequence[float] = ()) -> Turn:
    return Turn(
        round,
        {NAME: torch.tensor([received])},
        {NAME: torch.tensor([trained])},
        [{NAME: torch.tensor([e])} for e in earlier],
    )


def events(attack: Attack, count: int = 1) -> list[Visited | Closed]:
    with Attacked(engine(federation(PLAIN)), BAD, attack) as attacked:
        told = rounds(PLAIN.strategy, attacked, count, attacked.initial(), (), 0)
        return [event for event in told if isinstance(event, Visited | Closed)]


def handed(told: Sequence[Visited | Closed]) -> Iterator[tuple[int, str, Tensors]]:
    for event in told:
        if isinstance(event, Visited):
            yield event.round, event.handover.client, unpack(event.handover.payload)[0]


def test_a_flipped_sign_goes_as_far_the_other_way() -> None:
    assert sign_flip(turn(1.0, 1.5))[NAME].tolist() == [0.5]


def test_noise_is_so_many_times_as_long_as_the_honest_change_and_another_in_each_round() -> None:
    names = {NAME: torch.zeros(40), "head.cls.weight": torch.zeros(3, 40)}
    trained = {name: torch.full_like(tensor, 0.5) for name, tensor in names.items()}
    first, again, second = (ScaledNoise(4.0)(Turn(round, names, trained, ())) for round in (1, 1, 2))
    assert_close(joined(first).norm(), 4 * joined(trained).norm(), rtol=1e-5, atol=0)
    assert torch.equal(joined(first), joined(again))
    cosine = joined(first) @ joined(second) / (joined(first).norm() * joined(second).norm())
    assert abs(float(cosine)) < 0.4
    assert first["head.cls.weight"].shape == (3, 40)


def test_a_replayed_update_is_the_first_one_forever() -> None:
    assert replayed(turn(0.0, 1.0))[NAME].tolist() == [1.0]
    assert replayed(turn(5.0, 6.0, round=3, earlier=[1.0, 2.0]))[NAME].tolist() == [1.0]


def test_flipped_labels_are_those_of_training_alone() -> None:
    made = federation(PLAIN).clients[BAD]
    before = {part: list(cases.labels) for part, cases in made.sets.items()}
    flip_labels(made, 2)
    assert made.sets["train"].labels == [1 - label for label in before["train"]]
    assert {part: list(made.sets[part].labels) for part in ("val", "test")} == {
        part: before[part] for part in ("val", "test")
    }
    assert made.class_counts(2) == [sum(before["train"]), len(before["train"]) - sum(before["train"])]


def test_only_the_bad_client_is_altered_and_what_it_sends_passes_the_door() -> None:
    honest, attacked = events(as_trained), events(sign_flip)
    start = engine(federation(PLAIN)).initial().sent
    mine, theirs = ({client: tensors for _, client, tensors in handed(told)} for told in (honest, attacked))
    assert_close(theirs[GOOD], mine[GOOD], rtol=0, atol=0)
    assert_close(theirs[BAD], {name: 2 * start[name] - tensor for name, tensor in mine[BAD].items()})
    closed = [event for event in attacked if isinstance(event, Closed)]
    assert closed[0].round.refused == ()
    assert closed[0].round.weights.keys() == {GOOD, BAD}


def test_a_replayed_update_is_let_in_since_it_is_signed_anew() -> None:
    told = events(replayed, count=2)
    sent = {(round, client): tensors for round, client, tensors in handed(told)}
    assert_close(sent[2, BAD], sent[1, BAD], rtol=0, atol=0)
    assert [event.round.refused for event in told if isinstance(event, Closed)] == [(), ()]


def test_copied_bytes_of_an_old_update_are_refused_at_the_door() -> None:
    class Copying(Attacked):
        """Hands over the very bytes of its first round."""

        first = b""

        def _altered(self, handover: Handover, server: Server) -> Handover:
            self.first = self.first or handover.payload
            return Handover(handover.client, self.first, handover.kept, handover.loss, handover.seconds)

    with Copying(engine(federation(PLAIN)), BAD, as_trained) as copying:
        told = list(rounds(PLAIN.strategy, copying, 2, copying.initial(), (), 0))
    second = [event for event in told if isinstance(event, Closed)][1]
    (refusal,) = second.round.refused
    assert (refusal.client, refusal.reason) == (BAD, f"signed '{BAD}', round 1; expected {BAD}, round 2")


def test_without_an_attack_nothing_changes() -> None:
    with engine(federation(PLAIN)) as plain:
        told = list(rounds(PLAIN.strategy, plain, 1, plain.initial(), (), 0))
    alone = [event.server.sent for event in told if isinstance(event, Closed)]
    wrapped = [event.server.sent for event in events(as_trained) if isinstance(event, Closed)]
    assert_close(wrapped, alone, rtol=0, atol=0)


def test_a_client_that_is_not_there_cannot_be_bad() -> None:
    with pytest.raises(ValueError, match="Unknown client 'vendorB'; known: vendorA, vendorC"):
        Attacked(engine(federation(PLAIN)), "vendorB", as_trained)
