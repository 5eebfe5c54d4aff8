"""Named tensors: the name grammar, and arithmetic over dictionaries of tensors.

    encoder.blocks.11.attn.q.branches.global.A     branch "global", factor A   (R, D_in)
    encoder.blocks.11.attn.q.branches.local.B      branch "local", factor B    (D_out, R)
    encoder.blocks.11.attn.q.gate.local            how loud a branch is
    encoder.blocks.11.attn.q.delta                 folded updates, never uploaded   (D_out, D_in)
    encoder.blocks.11.mlp.fc1.weights.weight       the layer itself, where a method unfreezes it
    head.sax.weight   head.local.cls.bias          the task's head, with one owner or with two
    aux.control.<name>                             control variates, moments: named like the tensor they belong to

`TensorName.parse` is the only place that knows this grammar.
"""

import functools
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]

HEAD_OWNERS = ("global", "local")
AUX = "aux"


@dataclass(frozen=True)
class TensorName:
    """What a tensor's name says. Fields that do not apply are empty strings.

    Args:
        layer: path of the layer inside the backbone ("encoder.blocks.11.attn.q"), empty for a head.
        kind: "factor", "gate", "delta", "weights" or "head".
        branch: the branch of a factor or of a gate.
        factor: "A" or "B".
        owner: "global" or "local" where the head has two owners.
        leaf: what follows: "weight", "bias", or the path inside the head ("sax.weight").
        aux: kind of an auxiliary tensor ("control", "moment"), empty otherwise.
    """

    layer: str
    kind: str
    branch: str = ""
    factor: str = ""
    owner: str = ""
    leaf: str = ""
    aux: str = ""

    @property
    def is_head(self) -> bool:
        return self.kind == "head"

    @property
    def is_factor(self) -> bool:
        return self.kind == "factor"

    @property
    def is_delta(self) -> bool:
        return self.kind == "delta"

    @staticmethod
    @functools.lru_cache(maxsize=2**16)
    def parse(text: str) -> "TensorName":
        """Reads a name; `str(TensorName.parse(text)) == text`.

        Raises: ValueError where the text is not of the grammar.
        """
        words = text.split(".")
        if any(not word for word in words):
            raise _ungrammatical(text, "an empty word between two dots")
        if words[0] == AUX:
            if len(words) < 3:
                raise _ungrammatical(text, "'aux' without a kind and the name it belongs to")
            inner = TensorName.parse(".".join(words[2:]))
            if inner.aux:
                raise _ungrammatical(text, "'aux' inside 'aux'")
            return TensorName(**{**vars(inner), "aux": words[1]})
        if words[0] == "head":
            owner = words[1] if len(words) > 2 and words[1] in HEAD_OWNERS else ""
            leaf = words[2:] if owner else words[1:]
            if not leaf:
                raise _ungrammatical(text, "'head' without a tensor")
            return TensorName(layer="", kind="head", owner=owner, leaf=".".join(leaf))
        return _parse_layer(text, words)

    def __str__(self) -> str:
        if self.kind == "head":
            words = ["head", self.owner, self.leaf]
        elif self.kind == "factor":
            words = [self.layer, "branches", self.branch, self.factor]
        elif self.kind == "gate":
            words = [self.layer, "gate", self.branch]
        elif self.kind == "delta":
            words = [self.layer, "delta"]
        else:
            words = [self.layer, "weights", self.leaf]
        prefix = [AUX, self.aux] if self.aux else []
        return ".".join(word for word in [*prefix, *words] if word)


def _parse_layer(text: str, words: list[str]) -> TensorName:
    """A name inside the backbone: the layer's path, then what of the layer is meant."""
    if len(words) > 3 and words[-3] == "branches" and words[-1] in ("A", "B"):
        return TensorName(".".join(words[:-3]), "factor", branch=words[-2], factor=words[-1])
    if len(words) > 2 and words[-2] == "gate":
        return TensorName(".".join(words[:-2]), "gate", branch=words[-1])
    if len(words) > 1 and words[-1] == "delta":
        return TensorName(".".join(words[:-1]), "delta")
    if len(words) > 2 and words[-2] == "weights":
        return TensorName(".".join(words[:-2]), "weights", leaf=words[-1])
    raise _ungrammatical(text, "no branch factor, gate, delta, weights, head or aux")


def _ungrammatical(text: str, met: str) -> ValueError:
    return ValueError(f"Tensor name '{text}': {met}. Expected one of the forms listed in fedcmr/tensors.py.")


def auxiliary(kind: str, name: str) -> str:
    """Name of the auxiliary tensor of this kind that belongs to a tensor."""
    return f"{AUX}.{kind}.{name}"


def control_of(name: str) -> str:
    """Name of the control variate that belongs to a tensor."""
    return auxiliary("control", name)


def add(left: Tensors, right: Tensors) -> dict[str, Tensor]:
    """left + right, name by name. Raises ValueError where the names differ."""
    return _pairwise(left, right, torch.add)


def subtract(left: Tensors, right: Tensors) -> dict[str, Tensor]:
    """left − right, name by name. Raises ValueError where the names differ."""
    return _pairwise(left, right, torch.sub)


def scaled(tensors: Tensors, factor: float) -> dict[str, Tensor]:
    """factor · tensors."""
    return {name: tensor * factor for name, tensor in tensors.items()}


def dot(left: Tensors, right: Tensors) -> Tensor:
    """⟨left, right⟩ = Σ_names Σ_entries left · right, a scalar () in float64."""
    products = _pairwise(left, right, lambda one, two: (one.double() * two.double()).sum())
    return torch.stack(list(products.values())).sum() if products else torch.zeros((), dtype=torch.float64)


def squared_norm(tensors: Tensors) -> Tensor:
    """‖tensors‖² = Σ_names Σ_entries value², a scalar () in float64."""
    return dot(tensors, tensors)


def mean(members: Sequence[Tensors], weights: Sequence[float]) -> dict[str, Tensor]:
    """Σ_k w_k tensors_k / Σ_k w_k, name by name, summed in float64 in the order given, returned in the input's dtype.

    Raises: ValueError without members, with names that differ, or with weights that do not sum to a positive number.
    """
    total = float(sum(weights))
    if not members or len(members) != len(weights) or not total > 0:
        met = f"Mean of {len(members)} members with weights {list(weights)}"
        raise ValueError(f"{met}: expected as many weights as members, of positive sum.")
    for member in members[1:]:
        _same_names(members[0], member)
    averaged = {}
    for name, first in members[0].items():
        accumulated = torch.zeros_like(first, dtype=torch.float64)
        for member, weight in zip(members, weights, strict=True):
            accumulated += (weight / total) * member[name].double()
        averaged[name] = accumulated.to(first.dtype)
    return averaged


def count_bytes(tensors: Tensors) -> int:
    """Bytes of the values alone, without names."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def digest(tensors: Tensors) -> str:
    """SHA-256 over names, types, shapes and bytes, in the order of names; independent of the order of insertion."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def without_aux(tensors: Tensors) -> dict[str, Tensor]:
    """Without the auxiliary ones, of which a model knows nothing."""
    return {name: tensor for name, tensor in tensors.items() if not TensorName.parse(name).aux}


def select(tensors: Tensors, keep: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of these names, in the order of `tensors`."""
    names = set(keep)
    return {name: tensor for name, tensor in tensors.items() if name in names}


def _pairwise(left: Tensors, right: Tensors, operation: Callable[[Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    _same_names(left, right)
    return {name: operation(tensor, right[name]) for name, tensor in left.items()}


def _same_names(left: Tensors, right: Tensors) -> None:
    if left.keys() != right.keys():
        differing = sorted(left.keys() ^ right.keys())[:3]
        raise ValueError(f"Dictionaries of tensors differ in names, for example {differing}; expected the same names.")
