"""By hand: servers that do more than take a mean. One layer of one number, rank 1, clients of 1 and 3 cases."""

from dataclasses import replace

import pytest
import torch
from test_methods_of_the_first_release import one, pair
from torch import Tensor
from torch.testing import assert_close

from fedcmr.algorithms import fedadam_lora, fedavg_lora, lora_fair
from fedcmr.messages import Server, Update

A, B = "q.branches.global.A", "q.branches.global.B"


def updates(ge: dict[str, Tensor], siemens: dict[str, Tensor]) -> list[Update]:
    return [Update("GE", 1, ge, 1), Update("Siemens", 1, siemens, 3)]


def test_fedadam_steps_by_hand_twice() -> None:
    # mean (1·3 + 3·7) / 4 = 6, Δ = 5: m = 0.5 · 5, u = 0.25 · 25, step 0.3 · 2.5 / (2.5 + 0.5) = 0.25
    strategy = fedadam_lora.build(fedadam_lora.Knobs(lr=0.3, tau=0.5, beta1=0.5, beta2=0.75))
    name = "head.cls.bias"
    sent, memory = strategy.combine(updates({name: one(3)}, {name: one(7)}), [0.25, 0.75], Server(0, {name: one(1)}))
    assert_close(sent, {name: one(1.25)})
    assert_close(memory, {f"aux.moment1.{name}": one(2.5), f"aux.moment2.{name}": one(6.25)})
    # Δ = 5 again: m = 0.5 · 2.5 + 2.5 = 3.75, u = 0.75 · 6.25 + 6.25 = 10.9375
    again = updates({name: one(3.25)}, {name: one(7.25)})
    sent, _ = strategy.combine(again, [0.25, 0.75], Server(1, sent, memory))
    assert_close(sent, {name: one(1.25 + 0.3 * 3.75 / (10.9375**0.5 + 0.5))})


def test_fedadam_stands_still_where_clients_do() -> None:
    strategy = fedadam_lora.build(fedadam_lora.Knobs())
    sent, _ = strategy.combine(
        updates(pair("global", 2, 1), pair("global", 2, 1)), [0.5, 0.5], Server(0, pair("global", 2, 1))
    )
    assert_close(sent, pair("global", 2, 1))


@pytest.mark.parametrize("knobs", [{"lr": 0.0}, {"tau": 0.0}, {"beta1": 1.0}, {"beta2": -0.1}])
def test_fedadam_refuses_what_is_no_step(knobs: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected lr and tau above 0"):
        fedadam_lora.build(fedadam_lora.Knobs(**knobs))


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 5.5), (1e-9, 7.0), (1e9, 4.0)])
def test_lora_fair_corrects_b_by_hand(weight: float, expected: float) -> None:
    # A = −1, B̄ = 4, mean product (1·2·1 − 3·2·5) / 4 = −7: ΔB = (−7 + 4)(−1) / (1 + λ) = 3 / (1 + λ)
    strategy = lora_fair.build(lora_fair.Knobs(weight=weight))
    sent, _ = strategy.combine(updates(pair("global", 2, 1), pair("global", -2, 5)), [0.25, 0.75], Server(0, {}))
    assert_close(sent, pair("global", -1, expected), rtol=1e-6, atol=1e-6)


def test_lora_fair_is_nearer_to_the_mean_product_than_fedavg() -> None:
    random = torch.Generator().manual_seed(0)
    members = [{A: torch.randn(3, 7, generator=random), B: torch.randn(5, 3, generator=random)} for _ in range(2)]
    wanted = sum(weight * member[B] @ member[A] for weight, member in zip((0.25, 0.75), members, strict=True))

    def distance(weight: float = 0.0) -> float:
        strategy = lora_fair.build(lora_fair.Knobs(weight)) if weight else fedavg_lora.build(fedavg_lora.Knobs())
        sent, _ = strategy.combine(updates(*members), [0.25, 0.75], Server(0, {}))
        return float((sent[B] @ sent[A] - wanted).norm())

    fedavg, weak, strong = distance(), distance(0.1), distance(1e-6)
    assert strong < weak < fedavg


def test_lora_fair_is_otherwise_fedavg() -> None:
    fair, avg = lora_fair.build(lora_fair.Knobs()), fedavg_lora.build(fedavg_lora.Knobs())
    assert replace(fair, combine=avg.combine) == avg
    with pytest.raises(ValueError, match="weight=0: expected more than 0"):
        lora_fair.build(lora_fair.Knobs(weight=0.0))
