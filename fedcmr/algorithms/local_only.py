"""Local only: each client trains an adapter and a head of its own, and nothing is handed over.

Sent: nothing. Stays: everything. The floor that every federation has to beat. The default rank is the sum of
Med-DualLoRA's two, so that both train equally many parameters.

Source: the usual baseline of personalised federated learning; rank and scale are our choice.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.roles import everything_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS: dict[str, str] = {}
HEAD = "private"


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1. alpha > 0, s = alpha / rank."""

    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("local", knobs.rank, knobs.alpha),), role=everything_private)
