"""Heads of a classification: features -> logits, one linear map for each view and one for the cls token."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedcmr.tensors import starting_generator

REDUCTIONS = ("all", "patch", "cls")


class ViewHeads(nn.ModuleDict):
    """logits = mean over heads h of W_h f_h + b_h, where f_view is the mean of the view's tokens and f_cls the cls
    token.

    State names: `sax.weight` (L, D), `sax.bias` (L), `cls.weight`, `cls.bias`, as below `pred_head_dict` of the
    foundation model. Tokens of padded slices count like any other, as they did when the foundation model was trained.

    Args:
        width: D ≥ 1.
        views: names of the views, for example ("sax",); at least one, none called "cls".
        classes: L ≥ 2.
        reduce: which heads speak: "all", the views' alone ("patch") or the cls token's alone ("cls"). A silent head is
            kept, so that checkpoints have equal names.
    Raises: ValueError outside these ranges.
    Source: the classifier of CineMA, https://github.com/mathpluscode/CineMA; implemented anew from its description.
    """

    def __init__(self, width: int, views: Sequence[str], classes: int, reduce: str = "all") -> None:
        if reduce not in REDUCTIONS:
            raise ValueError(f"task.reduce={reduce}: expected one of {', '.join(REDUCTIONS)}.")
        if not views or "cls" in views or classes < 2:
            raise ValueError(
                f"A head of {classes} classes on views {list(views)}: expected 2 or more, and views other than cls."
            )
        super().__init__({name: nn.Linear(width, classes) for name in (*views, "cls")})
        spoken = {"all": (*views, "cls"), "patch": tuple(views), "cls": ("cls",)}
        self.spoken = spoken[reduce]

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features {"cls": (B, 1, D), view: (B, N, D)} -> logits (B, L). The mean of the one cls token is the token
        itself.
        """
        return torch.stack([self[name](features[name].mean(dim=1)) for name in self.spoken]).mean(dim=0)


class OwnedHeads(nn.ModuleDict):
    """One head for each owner, whose logits are added. State names: `global.sax.weight`, `local.cls.bias`, …"""

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features {"cls": (B, 1, D), view: (B, N, D)} -> logits (B, L)."""
        return torch.stack([head(features) for head in self.values()]).sum(dim=0)


def start(head: nn.Module, seed: int) -> dict[str, Tensor]:
    """Starting values of a head by full name (`head.sax.weight`): each entry uniform in ±1/√D, as torch's Linear has
    it.

    A function of (seed, name), so that a private head starts equal at every client without being sent.
    """
    state = head.state_dict()
    values = {}
    for name, tensor in state.items():
        bound = 1 / math.sqrt(state[name.removesuffix("bias") + "weight" if name.endswith("bias") else name].shape[1])
        generator = starting_generator(seed, f"head.{name}")
        values[f"head.{name}"] = (torch.rand(tensor.shape, generator=generator) * 2 - 1) * bound
    return values
