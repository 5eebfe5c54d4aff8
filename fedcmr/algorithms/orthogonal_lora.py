"""FedOPAL: Med-DualLoRA whose global and local adapters are held apart by a penalty.

    on=weights:  F_k + λ Σ_layers ‖A_g A_lᵀ‖² + ‖B_gᵀ B_l‖²        on=outputs:  F_k + λ mean cos²(B_g A_g x, B_l A_l x)

Both pairs train together; sent: the global pair and, by default, the head. Stays: the local pair. With λ = 0 it is
med_dual_lora.

Source: Tupper and Gagné, Personalized Federated Fine-Tuning of Vision Foundation Models for Healthcare,
    https://arxiv.org/abs/2510.12741, whose two kinds of penalty these are. Our choices, since it leaves them open:
    both formulas, on both factors, the mean over layers and tokens, λ, ranks.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.penalties import OrthogonalOutputs, OrthogonalWeights
from fedcmr.strategy.phasing import OnePhase
from fedcmr.strategy.roles import local_branch_private
from fedcmr.strategy.strategy import Strategy, one_phase

FIDELITY = "paper"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}
KINDS = ("weights", "outputs")


@dataclass(frozen=True)
class Knobs:
    """on: "weights" or "outputs". weight: λ ≥ 0. rank_…: R ≥ 1. alpha_… > 0, s = alpha / rank."""

    on: str = "weights"
    weight: float = 0.1
    rank_global: int = 8
    rank_local: int = 8
    alpha_global: float = 8.0
    alpha_local: float = 8.0

    def __post_init__(self) -> None:
        if self.on not in KINDS:
            raise ValueError(f"algorithm.on={self.on}: expected weights or outputs.")


def build(knobs: Knobs) -> Strategy:
    on_weights = OnePhase(OrthogonalWeights(knobs.weight))
    penalised = on_weights if knobs.on == "weights" else OnePhase(OrthogonalOutputs(knobs.weight), collects=True)
    return Strategy(
        branches=(
            Branch("global", knobs.rank_global, knobs.alpha_global),
            Branch("local", knobs.rank_local, knobs.alpha_local),
        ),
        role=local_branch_private,
        phases=penalised if knobs.weight else one_phase,
    )
