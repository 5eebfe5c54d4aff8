"""How much is lost by averaging factors apart, and how far clients pull the same way."""

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from fedcmr.messages import Scores, Server, Update
from fedcmr.strategy.products import is_B_beside_A, mean_products, twin_of
from fedcmr.strategy.ranks import padded
from fedcmr.tensors import TensorName, mean


def metered(updates: Sequence[Update], weights: Sequence[float], server: Server) -> Scores:
    """{"error": see `aggregation_error`, "cosine": see `mean_cosine`}."""
    return {"error": aggregation_error(updates, weights), "cosine": mean_cosine(updates, server)}


def aggregation_error(updates: Sequence[Update], weights: Sequence[float]) -> float | None:
    """‖Σ_k p_k B_k A_k − (Σ_k p_k B_k)(Σ_k p_k A_k)‖ / ‖Σ_k p_k B_k A_k‖, Frobenius norms over all layers and branches.

    What averaging the handed-over factors apart would lose, whether or not the method averages so. None where clients
    do not hand over both factors, or all products are zero.
    """
    ordered = sorted(zip(updates, weights, strict=True), key=lambda pair: pair[0].client)
    products = mean_products(updates, weights)
    missed, whole = [], []
    for B_name, product in products.items():
        like = {name: _widest(updates, name) for name in (B_name, twin_of(B_name))}
        members = [padded({name: update.tensors[name] for name in like}, like) for update, _ in ordered]
        averaged = mean(members, [weight for _, weight in ordered])
        missed.append((product - averaged[B_name].double() @ averaged[twin_of(B_name)].double()).square().sum())
        whole.append(product.square().sum())
    total = float(torch.stack(whole).sum()) if whole else 0.0
    return (float(torch.stack(missed).sum()) / total) ** 0.5 if total else None


def mean_cosine(updates: Sequence[Update], server: Server) -> float | None:
    """Mean over pairs of clients of ⟨u_j, u_k⟩ / (‖u_j‖ ‖u_k‖), where u is what a client's layers and head changed by.

    Of a layer whose both factors are handed over it is B_k A_k − B A, of other tensors θ_k − θ. None for fewer than two
    clients that changed anything.
    """
    changes = [_change(update, server) for update in sorted(updates, key=lambda update: update.client)]
    norms = [float(change.norm()) for change in changes]
    cosines = [
        float(one @ other) / (norm * other_norm)
        for (one, norm), (other, other_norm) in combinations(zip(changes, norms, strict=True), 2)
        if norm and other_norm
    ]
    return sum(cosines) / len(cosines) if cosines else None


def _change(update: Update, server: Server) -> Tensor:
    """All changes of one client as one vector, in float64."""
    parts = [torch.zeros(1, dtype=torch.float64)]
    for name, tensor in sorted(update.tensors.items()):
        parsed = TensorName.parse(name)
        if parsed.aux or (parsed.factor == "A" and twin_of(name) in update.tensors):
            continue
        if is_B_beside_A(name, update.tensors):
            now = tensor.double() @ update.tensors[twin_of(name)].double()
            before = _product_sent(server, name, now)
        else:
            now, before = tensor.double(), _sent(server, name, tensor).double()
        parts.append((now - before).reshape(-1))
    return torch.cat(parts)


def _product_sent(server: Server, B_name: str, like: Tensor) -> Tensor:
    """B A as it was sent; zero where factors start anew."""
    if B_name not in server.sent or twin_of(B_name) not in server.sent:
        return torch.zeros_like(like)
    return server.sent[B_name].double() @ server.sent[twin_of(B_name)].double()


def _sent(server: Server, name: str, like: Tensor) -> Tensor:
    sent = server.sent.get(name)
    if sent is None:
        return torch.zeros_like(like)
    return sent[tuple(slice(size) for size in like.shape)]


def _widest(updates: Sequence[Update], name: str) -> Tensor:
    """Of what clients handed over under a name, the largest."""
    return max((update.tensors[name] for update in updates), key=lambda tensor: tensor.numel())
