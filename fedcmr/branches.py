"""The low-rank branches beside a layer, and where a tensor's training starts: a function of (run seed, name)."""

import hashlib
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from fedcmr.tensors import TensorName


@dataclass(frozen=True)
class Branch:
    """One low-rank branch beside each adapted layer: x ↦ s B A x with s = alpha / rank.

    Args:
        name: its word in tensor names, for example "global" or "local".
        rank: R ≥ 1.
        alpha: > 0, dimensionless.
        ranks: where clients differ, the rank of each in the order of their names, begun again where there are more
            clients; of 1 … rank. The scale is the same for all. Empty where all have `rank`.
    Raises: ValueError outside these ranges or where the name is not a lower-case word.
    """

    name: str
    rank: int = 8
    alpha: float = 8.0
    ranks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (self.name.isidentifier() and self.name.islower()):
            raise ValueError(f"Branch name '{self.name}': expected one lower-case word such as 'global'.")
        if self.rank < 1 or not self.alpha > 0:
            raise ValueError(f"Branch '{self.name}': rank {self.rank} and alpha {self.alpha}; expected ≥ 1 and > 0.")
        if not all(1 <= rank <= self.rank for rank in self.ranks):
            raise ValueError(f"Branch '{self.name}': ranks {list(self.ranks)}; expected each in 1 to {self.rank}.")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def rank_of(self, client: int) -> int:
        """Rank of a client, by its place in the order of names, from 0."""
        return self.ranks[client % len(self.ranks)] if self.ranks else self.rank


def starting_generator(seed: int, name: str) -> torch.Generator:
    """A generator for the starting value of one tensor: a function of (run seed, name) and nothing else.

    So a frozen A is equal at every client without being sent, and the A of two branches differ.
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def starting_value(name: str, factor: Tensor, seed: int, restart: int = 0) -> Tensor:
    """Where training starts: A uniform in ±1/√D_in (Kaiming with a = √5), drawn as a function of (seed, name); B zero.

    Args:
        name: full name of the tensor; two branches of one layer have different names, so their A differ.
        factor: A (R, D_in) or B (D_out, R), for its shape.
        seed: of the run.
        restart: round in which a method starts its factors anew, from 1; 0 for the start of the run.
    """
    if TensorName.parse(name).factor == "B":
        return torch.zeros(factor.shape)
    bound = 1 / math.sqrt(factor.shape[1])
    drawn = starting_generator(seed, f"{name}/{restart}" if restart else name)
    return torch.empty(factor.shape).uniform_(-bound, bound, generator=drawn)
