"""RoLoRA: the two factors take turns; in each round one of them trains and is averaged while the other rests.

    odd rounds:  B = Σ_k p_k B_k, A as it is      even rounds:  A = Σ_k p_k A_k, B as it is

So in every round one factor is common to all clients, and the mean of the factors is the mean of the products.
Sent up: the factor of the round and, by default, the head: half the bytes of FedAvg. Sent down: both, so that a client
that was away comes back right. Stays: nothing.

Source: Chen et al., Robust Federated Finetuning of LLMs via Alternating Optimization of LoRA,
    https://arxiv.org/abs/2502.01755. Our choices: B begins, for while B = 0 A has no gradient; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.combining import mean_beside_the_rest
from fedcmr.strategy.roles import factors_in_turn
from fedcmr.strategy.strategy import Strategy

FIDELITY = "paper"
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    branch = Branch("global", knobs.rank, knobs.alpha)
    return Strategy(branches=(branch,), role=factors_in_turn, combine=mean_beside_the_rest)
