"""Pooled: all clients' patients trained on as if they lay in one place.

Each patient keeps his client for scoring. A reference that gives up what the federation protects, and no upper bound:
a personal adapter may beat it. The default rank is the sum of Med-DualLoRA's two.

Source: the usual reference of federated learning; rank and scale are our choice.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS: dict[str, str] = {}
HEAD = "shared"


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), pool=True)
