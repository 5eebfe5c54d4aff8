"""FedPer on LoRA: the body is averaged, the head is each client's own; both train together.

    body = Σ_k p_k body_k, here the adapter;  head_k stays

Sent: A and B. Stays: the head.

Source: Arivazhagan et al., Federated Learning with Personalization Layers, https://arxiv.org/abs/1912.00818.
    Our choices: the body is the adapter of the frozen backbone; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}
HEAD = "private"


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank. The defaults are our choice: rank-matched to Med-DualLoRA."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),))
