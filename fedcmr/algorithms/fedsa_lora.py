"""FedSA-LoRA: A holds what clients have in common and is averaged; B and the head hold what is their own and stay.

    A = Σ_k p_k A_k;  client k computes W x + s B_k A x

Sent: A: half the bytes of FedAvg. Stays: B and the head, as in the authors' configuration.

Source: Guo et al., Selective Aggregation for Low-Rank Adaptation in Federated Learning,
    https://arxiv.org/abs/2410.01463, and its code. Our choices: rank and scale; weights by cases, there equal.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.roles import only_A_shared
from fedcmr.strategy.strategy import Strategy

FIDELITY = "code"
EXCEPTIONS: dict[str, str] = {}
HEAD = "private"


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), role=only_A_shared)
