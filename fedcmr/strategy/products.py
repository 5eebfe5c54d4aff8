"""Servers that work on the products B A instead of on the two factors apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fedcmr.messages import Server, Update
from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.ranks import padded
from fedcmr.tensors import TensorName, Tensors


@dataclass(frozen=True)
class Folded:
    """Δ ← Δ + s Σ_k p_k B_k A_k: the clients' products are folded into the weight, and no factor is sent.

    What is no factor is averaged. Clients then need factors that start anew.

    Args:
        scale: s of the branch.
    Source: Wang et al. 2024, https://arxiv.org/abs/2409.05976, whose stacked factors have this product.
    """

    scale: float

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        averaged, memory = weighted_mean([_without_factors(update) for update in updates], weights, server)
        return {**averaged, **_grown(server, mean_products(updates, weights), self.scale)}, memory


@dataclass(frozen=True)
class FoldedResidual:
    """A = Ā, B = B̄, and what they miss is folded into the weight: Δ ← Δ + s (Σ_k p_k B_k A_k − B̄ Ā).

    Args:
        scale: s of the branch.
    Source: Singhal et al. 2024, https://arxiv.org/abs/2410.09432.
    """

    scale: float

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        averaged, memory = weighted_mean(updates, weights, server)
        missed = {}
        for B_name, product in mean_products(updates, weights).items():
            missed[B_name] = product - averaged[B_name].double() @ averaged[twin_of(B_name)].double()
        return {**averaged, **_grown(server, missed, self.scale)}, memory


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
        averaged, memory = weighted_mean(updates, weights, server)
        sent = dict(averaged)
        for name, product in mean_products(updates, weights).items():
            A, B = averaged[twin_of(name)].double(), averaged[name].double()
            gram = A @ A.T
            ridge = self.weight * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
            change = torch.linalg.solve(gram + ridge, A @ (product - B @ A).T).T
            sent[name] = (B + change).to(averaged[name].dtype)
        return sent, memory


def truncated_products(updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
    """The best approximation of Σ_k p_k B_k A_k of the rank that was sent: B = U √S, A = √S Vᵀ of its largest singular
    values, in their order, so that a client's first r rows are the best of rank r.

    Source: Bai et al. 2024, https://arxiv.org/abs/2402.11505. Our choice: the singular values in equal parts.
    """
    sent, memory = weighted_mean([_without_factors(update) for update in updates], weights, server)
    sent = dict(sent)
    for B_name, product in mean_products(updates, weights).items():
        like, twin = server.sent[B_name], server.sent[twin_of(B_name)]
        U, S, Vh = torch.linalg.svd(product, full_matrices=False)
        rank = min(like.shape[1], len(S))
        roots = S[:rank].sqrt()
        factors = {B_name: U[:, :rank] * roots, twin_of(B_name): roots[:, None] * Vh[:rank]}
        sent |= padded(
            {name: factor.to(like.dtype) for name, factor in factors.items()}, {B_name: like, twin_of(B_name): twin}
        )
    return sent, memory


def padded_mean(updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
    """The weighted mean of factors of different ranks, with zeros behind the smaller ones.

    Source: Cho et al. 2024, https://arxiv.org/abs/2401.06432.
    """
    wide = [replace(update, tensors=padded(update.tensors, server.sent)) for update in updates]
    return weighted_mean(wide, weights, server)


def mean_products(updates: Sequence[Update], weights: Sequence[float]) -> dict[str, Tensor]:
    """Name of each B -> Σ_k p_k B_k A_k (D_out, D_in) in float64, summed in the order of client names."""
    ordered = sorted(zip(updates, weights, strict=True), key=lambda pair: pair[0].client)
    total = sum(weight for _, weight in ordered)
    found: dict[str, Tensor] = {}
    for update, weight in ordered:
        for name, tensor in sorted(update.tensors.items()):  # bytes that were read back have no order
            if is_B_beside_A(name, update.tensors):
                product = weight / total * tensor.double() @ update.tensors[twin_of(name)].double()
                found[name] = found[name] + product if name in found else product
    return found


def is_B_beside_A(text: str, tensors: Tensors) -> bool:
    """Whether this is the factor B of a branch, and its A is there too."""
    name = TensorName.parse(text)
    return name.factor == "B" and not name.aux and twin_of(text) in tensors


def twin_of(text: str) -> str:
    """The other factor of the same branch."""
    name = TensorName.parse(text)
    return str(replace(name, factor="A" if name.factor == "B" else "B"))


def _grown(server: Server, products: Tensors, scale: float) -> dict[str, Tensor]:
    """Name of each delta -> what it was, and s times these products more, in the dtype of the factors."""
    grown: dict[str, Tensor] = {}
    for B_name, product in products.items():
        name = str(TensorName(TensorName.parse(B_name).layer, "delta"))
        before = grown.get(name, server.sent.get(name))
        added = (scale * product).float()
        grown[name] = added if before is None else before + added
    return grown


def _without_factors(update: Update) -> Update:
    rest = {name: tensor for name, tensor in update.tensors.items() if not TensorName.parse(name).is_factor}
    return replace(update, tensors=rest)
