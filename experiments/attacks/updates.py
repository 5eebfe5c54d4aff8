"""Attacks on what a client hands over: functions of what it received, what it trained, and what it trained before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fedcmr.branches import starting_generator
from fedcmr.strategy.vectors import joined, parted
from fedcmr.tensors import Tensors, add, subtract


@dataclass(frozen=True)
class Turn:
    """One round of a bad client.

    Args:
        round: from 1.
        received: what the server sent, of the names that are handed over.
        trained: what an honest client would hand over.
        earlier: the same of its earlier rounds, the first one first.
    """

    round: int
    received: Tensors
    trained: Tensors
    earlier: Sequence[Tensors]


Attack = Callable[[Turn], Tensors]
"""What is handed over instead."""


def as_trained(turn: Turn) -> Tensors:
    """No attack on the update."""
    return turn.trained


def sign_flip(turn: Turn) -> Tensors:
    """θ_received − (θ_trained − θ_received): as long a way as the honest one, in the opposite direction."""
    return subtract(turn.received, subtract(turn.trained, turn.received))


@dataclass(frozen=True)
class ScaledNoise:
    """θ_received + s ‖θ_trained − θ_received‖ ε / ‖ε‖: a change in a direction drawn anew each round, ε ~ N(0, I).

    Args:
        scale: s > 0, how many times as long as the honest change. Our default stays below what the door refuses by its
            `norm_bound`.
        seed: of the direction, with the round.
    """

    scale: float = 10.0
    seed: int = 0

    def __call__(self, turn: Turn) -> Tensors:
        length = (joined(turn.trained) - joined(turn.received)).norm()
        drawn = torch.randn(
            joined(turn.trained).shape,
            generator=starting_generator(self.seed, f"attack/{turn.round}"),
            dtype=torch.float64,
        )
        return add(turn.received, parted(self.scale * length * drawn / drawn.norm(), turn.trained))


def replayed(turn: Turn) -> Tensors:
    """What it trained in its first round, signed anew in each later one: copied bytes would not pass the door."""
    return turn.earlier[0] if turn.earlier else turn.trained
