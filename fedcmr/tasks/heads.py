"""Heads of a classification: features -> logits, one linear map for each view and one for the cls token."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

REDUCTIONS = ("all", "patch", "cls")


class ViewHeads(nn.ModuleDict):
    """logits = mean over heads h of W_h f_h + b_h; f_view is the mean of the view's tokens, f_cls the cls token.

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
        """Features {"cls": (B, 1, D), view: (B, N, D)} -> logits (B, L)."""
        # the mean of the one cls token is the token itself
        return torch.stack([self[name](features[name].mean(dim=1)) for name in self.spoken]).mean(dim=0)


class OwnedHeads(nn.ModuleDict):
    """One head for each owner, whose logits are added. State names: `global.sax.weight`, `local.cls.bias`, …"""

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Features {"cls": (B, 1, D), view: (B, N, D)} -> logits (B, L)."""
        return torch.stack([head(features) for head in self.values()]).sum(dim=0)
