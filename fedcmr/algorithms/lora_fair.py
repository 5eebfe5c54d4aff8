"""LoRA-FAIR: the averaged B is corrected at the server, so that the product nears the mean of the products.

    A = Σ_k p_k A_k,  B = B̄ + ΔB,  ΔB = argmin ‖(B̄ + ΔB) A − Σ_k p_k B_k A_k‖² + λ ‖ΔB‖²
                                      = (Σ_k p_k B_k A_k − B̄ A) Aᵀ (A Aᵀ + λ I)⁻¹

Sent: A, B and, by default, the head. Stays: nothing. Clients start from these averaged factors. As λ grows it becomes
fedavg_lora; it is exact only where the rows of all A_k lie in the span of A's.

Source: Bian et al., LoRA-FAIR: Federated LoRA Fine-Tuning with Aggregation and Initialization Refinement,
    https://arxiv.org/abs/2411.14961. Our choices: squared distance, which has this solution, where the paper nears by
    a similarity and steps; λ, relative to the mean square of A's rows; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.products import CorrectedB
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "B is corrected within the span of the mean A alone"}


@dataclass(frozen=True)
class Knobs:
    """weight: λ > 0. rank: R ≥ 1. alpha > 0, s = alpha / rank. All are our choice."""

    weight: float = 0.01
    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), combine=CorrectedB(knobs.weight))
