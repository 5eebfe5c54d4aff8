"""All tensors of an update as one vector."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedcmr.tensors import Tensors


def joined(tensors: Tensors) -> Tensor:
    """All entries as one vector in float64, in the order of names."""
    parts = [torch.zeros(0, dtype=torch.float64), *(tensors[name].double().reshape(-1) for name in sorted(tensors))]
    return torch.cat(parts)


def parted(vector: Tensor, like: Tensors) -> dict[str, Tensor]:
    """What `joined` joined, with the names, shapes and types of `like`."""
    names = sorted(like)
    parts = vector.split([like[name].numel() for name in names])
    return {name: part.reshape(like[name].shape).to(like[name].dtype) for name, part in zip(names, parts, strict=True)}


def mean_vector(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Σ_k w_k v_k / Σ_k w_k, summed in the order given."""
    total, found = float(sum(weights)), torch.zeros_like(vectors[0])
    for vector, weight in zip(vectors, weights, strict=True):
        found += weight / total * vector
    return found
