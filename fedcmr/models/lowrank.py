"""One adapted layer: the frozen linear layer, its low-rank branches, and updates that were folded into it.

Source: Hu et al. 2022, LoRA, https://arxiv.org/abs/2106.09685; two branches after Med-DualLoRA.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedcmr.tensors import Branch, TensorName, starting_generator


class LowRank(nn.Module):
    """The factors of one branch, A (R, D_in) and B (D_out, R). A is NaN until a starting value is loaded, B is zero."""

    def __init__(self, size_in: int, size_out: int, rank: int) -> None:
        super().__init__()
        self.A = nn.Parameter(torch.full((rank, size_in), math.nan))
        self.B = nn.Parameter(torch.zeros(size_out, rank))


def starting_value(name: str, factor: Tensor, seed: int) -> Tensor:
    """Where training starts: A uniform in ±1/√D_in (Kaiming with a = √5), drawn as a function of (seed, name); B zero.

    Args:
        name: full name of the tensor; two branches of one layer have different names, so their A differ.
        factor: A (R, D_in) or B (D_out, R), for its shape.
        seed: of the run.
    """
    if TensorName.parse(name).factor == "B":
        return torch.zeros(factor.shape)
    bound = 1 / math.sqrt(factor.shape[1])
    return torch.empty(factor.shape).uniform_(-bound, bound, generator=starting_generator(seed, name))


class AdaptedLinear(nn.Module):
    """(W + Δ) x + b + Σ_branches g s B A x, with s = alpha / rank, and g = 1 unless `adapters.mixed` says otherwise.

    The branches are computed as one pair: the A stacked to (ΣR, D_in), the g s B joined to (D_out, ΣR). Parameters
    stay those of the single branches, and s acts in the forward pass, so training is the same as with separate ones.

    Args:
        weights: the layer itself, W (D_out, D_in); it is frozen here.
        branches: one LowRank is made for each; none leaves the layer as it is.
        dropout: probability in [0, 1) that an entry of the branches' input is dropped in training.
    Raises: ValueError for two branches of one name or a dropout outside [0, 1).
    """

    delta: Tensor | None

    def __init__(self, weights: nn.Linear, branches: Sequence[Branch], dropout: float) -> None:
        super().__init__()
        names = [branch.name for branch in branches]
        if len(set(names)) != len(names):
            raise ValueError(f"Branches {', '.join(names)}: expected names that differ.")
        if not 0 <= dropout < 1:
            raise ValueError(f"adapter.dropout={dropout}: expected a probability in [0, 1).")
        self.weights = weights.requires_grad_(False)
        self.branches = nn.ModuleDict(
            {branch.name: LowRank(weights.in_features, weights.out_features, branch.rank) for branch in branches}
        )
        self.scales = {branch.name: branch.scale for branch in branches}
        self.gains = dict.fromkeys(names, 1.0)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("delta", None)
        self._unmerged: Tensor | None = None

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., D_in) -> (..., D_out)."""
        if self._unmerged is not None:
            return self.weights(tokens)
        weight = self.weights.weight if self.delta is None else self.weights.weight + self.delta
        output = functional.linear(tokens, weight, self.weights.bias)
        pair = self.joined()
        if pair is None:
            return output
        stacked_A, joined_B = pair
        return output + functional.linear(functional.linear(self.dropout(tokens), stacked_A), joined_B)

    def joined(self) -> tuple[Tensor, Tensor] | None:
        """All branches that are heard as one pair: A stacked (ΣR, D_in), g s B joined (D_out, ΣR); None for silence."""
        heard = self._heard()
        if not heard:
            return None
        return torch.cat([pair.A for pair, _ in heard]), torch.cat([pair.B * loudness for pair, loudness in heard], 1)

    @property
    def is_merged(self) -> bool:
        return self._unmerged is not None

    @torch.no_grad()
    def merge(self) -> None:
        """Writes W + Δ + Σ g s B A into the weight, with the gains of now; until `unmerge` the weight speaks alone.

        Raises: ValueError where it is merged already.
        """
        if self._unmerged is not None:
            raise ValueError("The layer is merged already: unmerge it first, or its branches would count twice.")
        self._unmerged = self.weights.weight.clone()
        if self.delta is not None:
            self.weights.weight += self.delta
        for pair, loudness in self._heard():
            self.weights.weight += loudness * (pair.B @ pair.A)

    @torch.no_grad()
    def unmerge(self) -> None:
        """Puts the weight back, bit by bit. Raises: ValueError where it is not merged."""
        if self._unmerged is None:
            raise ValueError("The layer is not merged: there is nothing to take back.")
        self.weights.weight.copy_(self._unmerged)
        self._unmerged = None

    def _heard(self) -> list[tuple[LowRank, float]]:
        pairs = []
        for name, pair in self.branches.items():
            assert isinstance(pair, LowRank)
            if self.gains[name] != 0:
                pairs.append((pair, self.gains[name] * self.scales[name]))
        return pairs
