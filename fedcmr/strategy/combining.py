"""How the updates of K clients become what the server sends next."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedcmr.messages import Server, Update
from fedcmr.tensors import Tensors, mean

FIRST, SECOND = "aux.moment1.", "aux.moment2."
"""Before the name of the tensor that a server's moment belongs to."""


def weighted_mean(updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
    """θ = Σ_k p_k θ_k, tensor by tensor: A and B are averaged apart, so that their product is not the mean product.

    Summed in float64 in the order of client names, so that the order of arrival changes no bit.
    Returns (to send, to remember): what the clients share, and no memory.
    Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629; on LoRA factors: FedIT, https://arxiv.org/abs/2305.05644.
    """
    ordered = sorted(zip(updates, weights, strict=True), key=lambda pair: pair[0].client)
    return mean([update.tensors for update, _ in ordered], [weight for _, weight in ordered]), {}


def mean_beside_the_rest(
    updates: Sequence[Update], weights: Sequence[float], server: Server
) -> tuple[Tensors, Tensors]:
    """The weighted mean of what was handed over, beside what was sent and rested in this round."""
    averaged, memory = weighted_mean(updates, weights, server)
    return {**server.sent, **averaged}, memory


@dataclass(frozen=True)
class AdamStep:
    """A step of Adam from what was sent towards the clients' mean; the moments are the server's memory, in float32.

    Δ = Σ_k p_k θ_k − θ_t, m ← β₁ m + (1 − β₁) Δ, u ← β₂ u + (1 − β₂) Δ², θ_{t+1} = θ_t + η m / (√u + τ).

    Args:
        lr: η > 0. tau: τ > 0. beta1, beta2: in [0, 1).
    Raises: ValueError outside these ranges.
    Source: Reddi et al. 2021, https://arxiv.org/abs/2003.00295.
    """

    lr: float
    tau: float
    beta1: float
    beta2: float

    def __post_init__(self) -> None:
        if not (self.lr > 0 and self.tau > 0 and 0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"{self}: expected lr and tau above 0, and both betas in [0, 1).")

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        averaged, _ = weighted_mean(updates, weights, server)
        sent: dict[str, Tensor] = {}
        memory: dict[str, Tensor] = {}
        for name, tensor in averaged.items():
            change = tensor - server.sent[name]
            nothing = torch.zeros_like(change)
            m = self.beta1 * server.memory.get(FIRST + name, nothing) + (1 - self.beta1) * change
            u = self.beta2 * server.memory.get(SECOND + name, nothing) + (1 - self.beta2) * change.square()
            sent[name] = server.sent[name] + self.lr * m / (u.sqrt() + self.tau)
            memory |= {FIRST + name: m, SECOND + name: u}
        return sent, memory


@dataclass(frozen=True)
class OuterStep:
    """A step of SGD with Nesterov's momentum from what was sent towards the clients' mean; m is the server's memory.

    Δ = Σ_k p_k θ_k − θ_t, m ← μ m + Δ, θ_{t+1} = θ_t + η (Δ + μ m).

    Args:
        lr: η > 0. momentum: μ in [0, 1).
    Raises: ValueError outside these ranges.
    Source: Douillard et al. 2023, https://arxiv.org/abs/2311.08105.
    """

    lr: float
    momentum: float

    def __post_init__(self) -> None:
        if not (self.lr > 0 and 0 <= self.momentum < 1):
            raise ValueError(f"{self}: expected lr above 0, and momentum in [0, 1).")

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        averaged, _ = weighted_mean(updates, weights, server)
        sent: dict[str, Tensor] = {}
        memory: dict[str, Tensor] = {}
        for name, tensor in averaged.items():
            change = tensor - server.sent[name]
            m = self.momentum * server.memory.get(FIRST + name, torch.zeros_like(change)) + change
            sent[name] = server.sent[name] + self.lr * (change + self.momentum * m)
            memory[FIRST + name] = m
        return sent, memory
