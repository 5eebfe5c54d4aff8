"""How the updates of K clients become one."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from fedcmr.messages import Server, Update
from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.weighing import by_cases


def update(client: str, value: float, cases: int) -> Update:
    return Update(client, 1, {"head.cls.bias": torch.tensor([value])}, cases)


def test_weighted_mean_counts_patients_not_clients() -> None:
    # 1 patient says 0, 3 patients say 4: (1·0 + 3·4) / 4 = 3
    updates = [update("GE", 0.0, 1), update("Siemens", 4.0, 3)]
    sent, memory = weighted_mean(updates, by_cases(updates, []), Server(0, {}))
    assert_close(sent["head.cls.bias"], torch.tensor([3.0]))
    assert not memory


def test_the_order_of_arrival_changes_no_bit() -> None:
    updates = [update("a", 1e8, 3), update("b", 0.1, 7), update("c", -1e8, 3), update("d", 1 / 3, 11)]
    values = {
        weighted_mean(arrived, by_cases(arrived, []), Server(0, {}))[0]["head.cls.bias"].item()
        for arrived in itertools.permutations(updates)
    }
    assert len(values) == 1


def test_clients_that_share_nothing_are_sent_nothing() -> None:
    updates = [Update("a", 1, {}, 1), Update("b", 1, {}, 2)]
    assert weighted_mean(updates, by_cases(updates, []), Server(0, {})) == ({}, {})


def test_more_updates_than_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        weighted_mean([update("a", 1.0, 1)], [0.5, 0.5], Server(0, {}))
