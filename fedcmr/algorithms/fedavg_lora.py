"""FedAvg on LoRA (FedIT): one adapter, its two factors averaged apart.

    A = Σ_k p_k A_k,  B = Σ_k p_k B_k,  p_k = n_k / Σ n

Sent: A, B and, by default, the head. Stays: nothing. The default rank is the sum of Med-DualLoRA's two, so that both
train equally many parameters.

Source: Zhang et al., Towards Building the Federated GPT: Federated Instruction Tuning,
    https://arxiv.org/abs/2305.05644.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.strategy import Strategy

FIDELITY = "code"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),))
