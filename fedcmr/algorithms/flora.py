"""FLoRA: the clients' factors are stacked, which sums their products exactly; clients fold that and start LoRA anew.

    A = [p_1 A_1; …; p_K A_K],  B = [B_1, …, B_K],  Δ ← Δ + s B A = Δ + s Σ_k p_k B_k A_k,  then B = 0 and a new A

Sent up: A, B and, by default, the head. Sent down: Δ whole, instead of the stack, and the head. Stays: nothing. The
new A is drawn alike by all clients, a function of (seed, round).

Source: Wang et al., FLoRA: Federated Fine-Tuning Large Language Models with Heterogeneous Low-Rank Adaptations,
    https://arxiv.org/abs/2409.05976, and its code, where p weighs A alone. Our choices: one rank for all clients; Δ
    as one matrix, so that who was away comes back right; one A for all; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.installing import fresh_factors
from fedcmr.strategy.products import Folded
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
    return Strategy(branches=(branch,), combine=Folded(branch.scale), install=fresh_factors)
