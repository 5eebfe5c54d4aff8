"""The chosen round."""

import pytest

from fedcmr.reports.choosing import chosen_round, pooled_log_loss


def test_clients_count_by_their_patients():
    scores = {"a": {"personal": {"n": 1, "log_loss": 0.0}}, "b": {"personal": {"n": 3, "log_loss": 0.8}}}
    assert pooled_log_loss(scores) == pytest.approx(0.6)


def test_a_client_without_patients_does_not_count_and_one_that_diverged_leaves_no_loss():
    scores = {"a": {"personal": {"n": 0, "log_loss": None}}, "b": {"personal": {"n": 3, "log_loss": 0.8}}}
    assert pooled_log_loss(scores) == pytest.approx(0.8)
    assert pooled_log_loss({**scores, "c": {"personal": {"n": 2, "log_loss": None}}}) is None
    assert pooled_log_loss({}) is None


def test_the_smallest_loss_is_chosen_and_the_earliest_of_equals(make_round):
    rounds = [
        make_round(1, log_losses=(0.9, 0.9, 0.9)),
        make_round(2, log_losses=(0.5, 0.6, 0.7)),
        make_round(3, log_losses=(0.7, 0.6, 0.5)),
        make_round(4, log_losses=(0.1, 0.1, None)),
    ]
    assert chosen_round(rounds) == 2


def test_where_every_round_diverged_the_last_one_is_taken(make_round):
    assert chosen_round([make_round(number, log_losses=(None, None, None)) for number in (1, 2)]) == 2
    with pytest.raises(ValueError, match="No round"):
        chosen_round([])
