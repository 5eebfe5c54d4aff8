"""How the updates of K clients become what the server sends next."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fedcmr.messages import Server, Update
from fedcmr.tensors import TensorName, Tensors, mean

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
class CorrectedB:
    """The weighted mean, with each B corrected so that B A nears the mean of the products, in float64.

    ΔB = (Σ_k p_k B_k A_k − B̄ Ā) Āᵀ (Ā Āᵀ + λ I)⁻¹, the least squares solution with a penalty λ ‖ΔB‖².

    Args:
        weight: λ > 0, relative to the mean square of Ā's rows.
    Raises: ValueError outside this range.
    Source: Bian et al. 2024, https://arxiv.org/abs/2411.14961, where the same is neared by steps.
    """

    weight: float

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise ValueError(f"algorithm.weight={self.weight:g}: expected more than 0.")

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        ordered = sorted(zip(updates, weights, strict=True), key=lambda pair: pair[0].client)
        averaged, memory = weighted_mean(updates, weights, server)
        sent, total = dict(averaged), sum(weights)
        for text in averaged:
            name = TensorName.parse(text)
            if name.factor != "B":
                continue
            A_name = str(TensorName(name.layer, "factor", branch=name.branch, factor="A"))
            A, B = averaged[A_name].double(), averaged[text].double()
            products = [
                weight / total * update.tensors[text].double() @ update.tensors[A_name].double()
                for update, weight in ordered
            ]
            gram = A @ A.T
            ridge = self.weight * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
            change = torch.linalg.solve(gram + ridge, A @ (sum(products[1:], products[0]) - B @ A).T).T
            sent[text] = (B + change).to(averaged[text].dtype)
        return sent, memory
