"""Rounds that are only played go the way of real ones, for every algorithm, and train nobody."""

import pytest
import torch
from made_clients import Method, method, over_all_methods
from made_federation import federation

from fedcmr.data.loaders import CaseSet
from fedcmr.federation.rounds import Rules, TooFewClientsError
from fedcmr.rehearsing import rehearse

DUAL = method("med_dual_lora", "shared")


@over_all_methods
def test_every_algorithm_plays_two_rounds_and_opens_no_patient(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise AssertionError("a patient was looked at")

    monkeypatch.setattr(CaseSet, "__getitem__", nobody)
    made = federation(method)
    first, second = rehearse(made, Rules())
    assert first.refused == second.refused == ()
    assert list(first.weights) == sorted(made.clients)
    assert all(size > 0 for closed in (first, second) for size in closed.bytes_up.values())


def test_whoever_sends_nan_is_refused_and_the_others_go_on() -> None:
    made = federation(DUAL)
    for closed in rehearse(made, Rules(), "vendorC"):
        assert [refusal.client for refusal in closed.refused] == ["vendorC"]
        assert list(closed.weights) == ["vendorA"]


def test_where_everybody_is_needed_a_played_round_fails_as_a_real_one_does() -> None:
    with pytest.raises(TooFewClientsError, match="vendorC was refused"):
        rehearse(federation(DUAL), Rules(min_clients=2), "vendorC")


def test_a_rehearsal_is_a_function_of_the_seed_and_leaves_the_start_alone() -> None:
    made = federation(DUAL)
    before = {name: tensor.clone() for name, tensor in made.start.items()}
    assert rehearse(made, Rules()) == rehearse(made, Rules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.start.items())
