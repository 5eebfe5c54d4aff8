"""FedRep on LoRA: the head is each client's own and trains first, on the body that was sent; then the body on it.

    head_k ← argmin F_k(body_t, head),  body_k ← one pass of F_k(body, head_k),  body_{t+1} = Σ_k p_k body_k

The body is here the adapter. Sent: A and B. Stays: the head.

Source: Collins et al., Exploiting Shared Representations for Personalized Federated Learning,
    https://arxiv.org/abs/2102.07078. Our choices: the head's share of the visit's steps, so that all methods make
    equally many; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.phasing import HeadFirst
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}
HEAD = "private"


@dataclass(frozen=True)
class Knobs:
    """head_share: of a visit's steps, in (0, 1). rank: R ≥ 1. alpha > 0, s = alpha / rank. All are our choice."""

    head_share: float = 0.5
    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), phases=HeadFirst(knobs.head_share))
