"""The aggregation error and the cosine between clients, by hand: layers of one number, rank 1."""

import math

import pytest
import torch
from torch import Tensor

from fedcmr.messages import Server, Update
from fedcmr.strategy.metering import aggregation_error, mean_cosine, metered

A, B = "q.branches.global.A", "q.branches.global.B"


def factors(a: float, b: float) -> dict[str, Tensor]:
    return {A: torch.tensor([[float(a)]]), B: torch.tensor([[float(b)]])}


def update(client: str, tensors: dict[str, Tensor]) -> Update:
    return Update(client, 1, tensors, 1)


def test_the_error_of_averaging_factors_apart() -> None:
    # Σ p B A = (1·2 + 5·(−2)) / 2 = −4; mean B · mean A = 3 · 0 = 0: all of it is lost
    assert aggregation_error([update("GE", factors(2, 1)), update("Siemens", factors(-2, 5))], [0.5, 0.5]) == 1.0
    # with shares 1/4 and 3/4: −7 against 4 · (−1)
    updates = [update("GE", factors(2, 1)), update("Siemens", factors(-2, 5))]
    assert aggregation_error(updates, [0.25, 0.75]) == pytest.approx(3 / 7)


def test_clients_that_agree_lose_nothing() -> None:
    assert aggregation_error([update("GE", factors(2, 3)), update("Siemens", factors(2, 3))], [0.5, 0.5]) == 0


def test_without_both_factors_or_any_change_there_is_no_error() -> None:
    half = {A: torch.ones(1, 1)}
    assert aggregation_error([update("GE", half), update("Siemens", half)], [0.5, 0.5]) is None
    assert aggregation_error([update("GE", factors(2, 0)), update("Siemens", factors(1, 0))], [0.5, 0.5]) is None


def test_factors_of_different_rank_are_padded() -> None:
    wide = {A: torch.tensor([[2.0], [1.0]]), B: torch.tensor([[3.0, 1.0]])}
    # products 6 and 7, mean 6.5; means A = (2, 0.5), B = (3, 0.5): 6.25
    assert aggregation_error([update("GE", factors(2, 3)), update("Siemens", wide)], [0.5, 0.5]) == pytest.approx(
        0.25 / 6.5
    )


def test_the_cosine_is_between_changes_of_the_weight() -> None:
    # B A from 0 to 2 and to −10, heads from 1 to 2 and to 2: (2, 1) and (−10, 1)
    sent = Server(0, {**factors(1, 0), "head.cls.bias": torch.ones(1)})
    head = {"head.cls.bias": torch.tensor([2.0])}
    updates = [update("GE", {**factors(2, 1), **head}), update("Siemens", {**factors(-2, 5), **head})]
    assert mean_cosine(updates, sent) == pytest.approx(-19 / math.sqrt(5 * 101))
    assert mean_cosine(updates[::-1], sent) == mean_cosine(updates, sent)


def test_the_cosine_is_a_mean_over_pairs_and_leaves_out_who_did_not_move() -> None:
    sent = Server(0, {"head.cls.bias": torch.zeros(2)})
    moves = {"GE": (1.0, 0.0), "Philips": (0.0, 1.0), "Siemens": (1.0, 1.0), "Canon": (0.0, 0.0)}
    updates = [update(client, {"head.cls.bias": torch.tensor(move)}) for client, move in moves.items()]
    assert mean_cosine(updates, sent) == pytest.approx((0 + 2 * math.sqrt(0.5)) / 3)
    assert mean_cosine(updates[:1], sent) is None


def test_auxiliary_tensors_and_unsent_factors_do_not_disturb_it() -> None:
    # factors that start anew are not sent, so the change is the whole product
    tensors = {**factors(2, 1), "aux.control.head.cls.bias": torch.ones(1)}
    found = metered([update("GE", tensors), update("Siemens", factors(1, 4))], [0.5, 0.5], Server(0, {}))
    assert found["cosine"] == pytest.approx(1.0)
