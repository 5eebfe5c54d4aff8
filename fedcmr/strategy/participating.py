"""Who takes part in a round."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedcmr.branches import starting_generator

Draw = Callable[[Sequence[str], int], Sequence[str]]
"""(clients, round) -> who takes part in it, in the order of names."""


def everyone(clients: Sequence[str], round: int) -> Sequence[str]:
    """All clients, in every round."""
    return clients


@dataclass(frozen=True)
class Drawn:
    """A share of the clients, drawn anew for each round without replacement: a function of (seed, round).

    max(min_clients, ⌊share · K + ½⌋, 1) of K clients take part.

    Args:
        share: in (0, 1]. min_clients: ≥ 1. seed: of the run.
    """

    share: float
    min_clients: int
    seed: int

    def __call__(self, clients: Sequence[str], round: int) -> Sequence[str]:
        ordered = sorted(clients)
        count = min(len(ordered), max(1, self.min_clients, math.floor(self.share * len(ordered) + 0.5)))
        if count == len(ordered):
            return ordered
        places = torch.randperm(len(ordered), generator=starting_generator(self.seed, f"participants/{round}"))
        return [ordered[place] for place in sorted(places[:count].tolist())]
