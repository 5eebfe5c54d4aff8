"""FedAvg on LoRA with private norms, after FedBN: each client keeps the scales and shifts of its own LayerNorms.

    A = Σ_k p_k A_k,  B = Σ_k p_k B_k;  γ_k and β_k of the norms stay

Sent: A, B and, by default, the head. Stays: the two norms of each adapted block and the encoder's last one. A new
client is scored with the foundation model's norms.

Source: Li et al., FedBN: Federated Learning on Non-IID Features via Local Batch Normalization,
    https://arxiv.org/abs/2102.07623. Our choices: LayerNorms, since a transformer has no others; which of them; rank.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.roles import norms_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=(Branch("global", knobs.rank, knobs.alpha),),
        role=norms_private,
        opened=("norm1", "norm2", "encoder.norm"),
    )
