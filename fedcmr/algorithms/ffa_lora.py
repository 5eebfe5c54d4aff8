"""FFA-LoRA: A is drawn once, equal at every client, and never trains; B alone is trained and averaged.

    W + s (Σ_k p_k B_k) A  =  Σ_k p_k (W + s B_k A): with a common A the mean of the factors is the mean of the products

Sent: B and, by default, the head: half the bytes of FedAvg. Stays: nothing; A is a function of the run's seed and
never travels.

Source: Sun et al., Improving LoRA in Privacy-preserving Federated Learning, https://arxiv.org/abs/2403.12313.
    Our choices: rank and scale, and A uniform in ±1/√D_in as everywhere here.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.roles import A_frozen
from fedcmr.strategy.strategy import Strategy

FIDELITY = "paper"
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), role=A_frozen)
