"""FedEx-LoRA: the factors are averaged apart, and what that loses is folded into the frozen weight.

    A = Σ_k p_k A_k,  B = Σ_k p_k B_k,  Δ ← Δ + s (Σ_k p_k B_k A_k − B A)

So W + Δ + s B A is the exact mean of the clients' models. Sent up: A, B and, by default, the head. Sent down: these,
and Δ whole. Stays: nothing.

Source: Singhal et al., FedEx-LoRA: Exact Aggregation for Federated and Efficient Fine-Tuning of Foundation Models,
    https://arxiv.org/abs/2410.09432, and its code. Our choices: weights by cases, where the code weighs equally; Δ is
    sent as one matrix, where a residual of rank ≤ K r could be; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.products import FoldedResidual
from fedcmr.strategy.strategy import Strategy

FIDELITY = "code"
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    branch = Branch("global", knobs.rank, knobs.alpha)
    return Strategy(branches=(branch,), combine=FoldedResidual(branch.scale))
