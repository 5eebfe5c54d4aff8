"""By hand: FedOPAL's two penalties, and methods that open layers of the backbone."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.algorithms import fedavg_full, fedavg_lora, fedln, med_dual_lora, orthogonal_lora
from fedcmr.strategy.roles import Role
from fedcmr.tensors import TensorName


def factors(branch: str, A: list[list[float]], B: list[list[float]]) -> dict[str, Tensor]:
    return {f"q.branches.{branch}.A": torch.tensor(A), f"q.branches.{branch}.B": torch.tensor(B)}


def test_overlap_of_the_weights_by_hand() -> None:
    # A_g A_lᵀ = [[1·3 + 2·4]] = 11; B_gᵀ B_l = 1·2 + 0·5 = 2: 0.1 (121 + 4)
    live = {**factors("global", [[1.0, 2.0]], [[1.0], [0.0]]), **factors("local", [[3.0, 4.0]], [[2.0], [5.0]])}
    (phase,) = orthogonal_lora.build(orthogonal_lora.Knobs(weight=0.1)).phases(1)
    assert not phase.collects
    assert_close(phase.penalty(live, {}, {}, {}), torch.tensor(12.5))


def test_overlap_of_the_outputs_by_hand() -> None:
    # (3, 4) · (4, 3) = 24 / (5·5): cos² = 0.9216; (1, 0) beside a silent branch: 0; their mean 0.4608, times λ = 0.5
    outputs = {
        ("q", "global"): torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]),
        ("q", "local"): torch.tensor([[[4.0, 3.0], [0.0, 0.0]]]),
    }
    (phase,) = orthogonal_lora.build(orthogonal_lora.Knobs(on="outputs", weight=0.5)).phases(1)
    assert phase.collects
    assert_close(phase.penalty({}, {}, {}, outputs), torch.tensor(0.2304))


def test_silent_outputs_have_no_gradient() -> None:
    silent = torch.zeros(1, 2, 3, requires_grad=True)
    (phase,) = orthogonal_lora.build(orthogonal_lora.Knobs(on="outputs")).phases(1)
    phase.penalty({}, {}, {}, {("q", "global"): torch.ones(1, 2, 3), ("q", "local"): silent}).backward()
    assert_close(silent.grad, torch.zeros(1, 2, 3))


@pytest.mark.parametrize("on", orthogonal_lora.KINDS)
def test_without_weight_it_is_med_dual_lora(on: str) -> None:
    assert orthogonal_lora.build(orthogonal_lora.Knobs(on=on, weight=0.0)) == med_dual_lora.build(med_dual_lora.Knobs())


def test_unknown_kinds_and_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"algorithm.on=gates: expected weights or outputs"):
        orthogonal_lora.Knobs(on="gates")
    with pytest.raises(ValueError, match=r"algorithm.weight=-1"):
        orthogonal_lora.build(orthogonal_lora.Knobs(weight=-1.0))


def test_fedavg_full_opens_whole_blocks_and_shares_them() -> None:
    strategy = fedavg_full.build(fedavg_full.Knobs())
    assert strategy.branches == ()
    name = TensorName.parse("encoder.blocks.5.mlp.fc1.weights.weight")
    assert strategy.role(name, 1) is Role.SHARED
    assert len(strategy.opened) == 7


def test_fedln_keeps_its_norms_and_shares_what_fedavg_shares() -> None:
    strategy = fedln.build(fedln.Knobs())
    assert strategy.branches == fedavg_lora.build(fedavg_lora.Knobs()).branches
    names = [
        "encoder.norm.weights.weight",
        "encoder.blocks.5.norm1.weights.bias",
        "q.branches.global.A",
        "head.cls.bias",
    ]
    assert list(strategy.roles(names, 1).values()) == [Role.PRIVATE, Role.PRIVATE, Role.SHARED, Role.SHARED]
