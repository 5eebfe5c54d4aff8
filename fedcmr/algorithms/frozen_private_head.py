"""Frozen, private head: the foundation model as it is, and at each client a linear head of its own.

Sent: nothing. Stays: the head. What each client can do without any federation and without any adapter.

Source: linear probing of a frozen model at each client, the usual floor of personalised federated learning.
"""

from dataclasses import dataclass

from fedcmr.strategy.roles import everything_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS: dict[str, str] = {}
HEAD = "private"


@dataclass(frozen=True)
class Knobs:
    """It has none."""


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(), role=everything_private)
