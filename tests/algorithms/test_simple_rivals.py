"""One example by hand for each of the simple rivals: one layer of one number, rank 1, clients of 1 and 3 cases."""

from dataclasses import replace

import pytest
import torch
from test_methods_of_the_first_release import CASES, after_a_round, one, pair
from torch.testing import assert_close

from fedcmr.algorithms import (
    fedavg_lora,
    fedper,
    fedprox_lora,
    fedrep,
    fedsa_lora,
    ffa_lora,
    frozen_private_head,
    head_only,
    rolora,
)
from fedcmr.messages import Server, Update
from fedcmr.strategy.roles import Role
from fedcmr.tensors import TensorName

A, B, HEAD = "q.branches.global.A", "q.branches.global.B", "head.cls.bias"


def test_fedprox_adds_half_mu_times_the_squared_distance() -> None:
    # (2 − 1)² + (5 − 3)² = 5, times 0.4 / 2 = 1; its gradient is μ (θ − θ_t)
    (phase,) = fedprox_lora.build(fedprox_lora.Knobs(mu=0.4)).phases(1)
    live = {A: one(2).requires_grad_(), B: one(5).requires_grad_()}
    penalty = phase.penalty(live, {A: one(1), B: one(3), HEAD: one(9)}, {}, {})
    penalty.backward()
    assert_close(penalty.detach(), torch.tensor(1.0))
    assert_close(live[B].grad, one(0.8))


def test_fedprox_is_otherwise_fedavg() -> None:
    prox, avg = fedprox_lora.build(fedprox_lora.Knobs()), fedavg_lora.build(fedavg_lora.Knobs())
    assert replace(prox, phases=avg.phases) == avg
    with pytest.raises(ValueError, match=r"mu=-1: expected at least 0"):
        fedprox_lora.build(fedprox_lora.Knobs(mu=-1))


def test_ffa_lora_averages_b_on_a_common_a() -> None:
    # B = (1·1 + 3·5) / 4 = 4 on A = 2: W = 2·4·2 = 16 at s = 2, the mean of the products 2·(1·2 + 3·10) / 4 = 16
    strategy = ffa_lora.build(ffa_lora.Knobs(rank=1, alpha=2.0))
    trained = {"GE": pair("global", 2, 1), "Siemens": pair("global", 2, 5)}
    assert strategy.roles([A, B], 1) == {A: Role.FROZEN, B: Role.SHARED}
    for model in after_a_round(strategy, trained, CASES).values():
        assert_close(2 * model[B] @ model[A], one(16.0))


def test_fedsa_lora_averages_a_and_leaves_b_and_head_at_home() -> None:
    # A = (1·2 + 3·(−2)) / 4 = −1; B stays 1 and 5
    strategy = fedsa_lora.build(fedsa_lora.Knobs(rank=1, alpha=1.0))
    trained = {
        "GE": {**pair("global", 2, 1), HEAD: one(7)},
        "Siemens": {**pair("global", -2, 5), HEAD: one(8)},
    }
    models = after_a_round(strategy, trained, CASES)
    assert_close(models["GE"], {**pair("global", -1, 1), HEAD: one(7)})
    assert_close(models["Siemens"], {**pair("global", -1, 5), HEAD: one(8)})


def test_rolora_trains_b_then_a_and_sends_both_down() -> None:
    strategy = rolora.build(rolora.Knobs(rank=1, alpha=1.0))
    assert strategy.roles([A, B, HEAD], 1) == {A: Role.FROZEN, B: Role.SHARED, HEAD: Role.SHARED}
    assert strategy.roles([A, B, HEAD], 2) == {A: Role.SHARED, B: Role.FROZEN, HEAD: Role.SHARED}
    assert strategy.first_sent({**pair("global", 2, 0), HEAD: one(0)}).keys() == {A, B, HEAD}
    # round 2: B = 3 rests, A becomes (1·2 + 3·(−2)) / 4 = −1
    updates = [Update("GE", 2, {A: one(2)}, 1), Update("Siemens", 2, {A: one(-2)}, 3)]
    sent, _ = strategy.combine(updates, [0.25, 0.75], Server(1, pair("global", 9, 3)))
    assert_close(sent, pair("global", -1, 3))


def test_fedper_is_fedavg_whose_head_stays() -> None:
    assert fedper.build(fedper.Knobs()) == fedavg_lora.build(fedavg_lora.Knobs())
    assert fedper.HEAD == "private"


def test_fedrep_trains_the_head_and_then_the_body() -> None:
    first, second = fedrep.build(fedrep.Knobs(head_share=0.25)).phases(1)
    head, factor = TensorName.parse(HEAD), TensorName.parse(A)
    assert (first.train(head), first.train(factor), first.share) == (True, False, 0.25)
    assert (second.train(head), second.train(factor), second.share) == (False, True, 0.75)
    with pytest.raises(ValueError, match="head_share=1: expected a share between 0 and 1"):
        fedrep.build(fedrep.Knobs(head_share=1.0))


def test_fedrep_with_both_in_one_phase_is_fedper() -> None:
    rep, per = fedrep.build(fedrep.Knobs()), fedper.build(fedper.Knobs())
    assert replace(rep, phases=per.phases) == per


def test_a_frozen_private_head_hands_over_nothing_and_has_no_adapter() -> None:
    strategy = frozen_private_head.build(frozen_private_head.Knobs())
    assert strategy.branches == head_only.build(head_only.Knobs()).branches == ()
    trained = {"GE": {HEAD: one(1)}, "Siemens": {HEAD: one(5)}}
    assert_close(after_a_round(strategy, trained, CASES), trained)
