"""What is added to the task's loss while a client trains."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fedcmr.strategy.installing import global_twin
from fedcmr.strategy.strategy import Outputs
from fedcmr.tensors import Tensors


@dataclass(frozen=True)
class Proximal:
    """(μ / 2) Σ ‖θ − θ_received‖² over the tensors that train: a client does not stray far from where it began.

    Args:
        mu: ≥ 0.
    Source: Li et al. 2020, https://arxiv.org/abs/1812.06127.
    """

    mu: float

    def __post_init__(self) -> None:
        if self.mu < 0:
            raise ValueError(f"algorithm.mu={self.mu:g}: expected at least 0.")

    def __call__(self, live: Tensors, received: Tensors, kept: Tensors, outputs: Outputs) -> Tensor:
        squares = [(tensor - received[name]).square().sum() for name, tensor in live.items()]
        return 0.5 * self.mu * torch.stack(squares).sum()


@dataclass(frozen=True)
class NearGlobal:
    """(λ / 2) Σ ‖local − global received‖² over the factors of the local branch: it stays near the global one.

    Args:
        weight: λ ≥ 0.
    Raises: ValueError outside this range.
    Source: Li et al. 2021, https://arxiv.org/abs/2012.04221.
    """

    weight: float

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"algorithm.weight={self.weight:g}: expected at least 0.")

    def __call__(self, live: Tensors, received: Tensors, kept: Tensors, outputs: Outputs) -> Tensor:
        twins = {name: global_twin(name) for name in live}
        squares = [(live[name] - received[twin]).square().sum() for name, twin in twins.items() if twin]
        return 0.5 * self.weight * torch.stack(squares).sum()
