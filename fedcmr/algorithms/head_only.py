"""Head only: the foundation model as it is, and one shared linear head, averaged by number of cases.

    head = Σ_k p_k head_k

Sent: the head. Stays: nothing. What the frozen features are worth without any adapter.

Source: linear probing, federated by FedAvg, https://arxiv.org/abs/1602.05629.
"""

from dataclasses import dataclass

from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS: dict[str, str] = {}
HEAD = "shared"


@dataclass(frozen=True)
class Knobs:
    """It has none."""


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=())
