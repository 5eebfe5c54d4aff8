"""What a model tells of images, as slices to be drawn: hidden patches, and outlines."""

from collections.abc import Mapping
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor

from fedcmr.models.masked import MaskedAutoencoder
from fedcmr.pretraining.learner import Learner
from fedcmr.pretraining.objectives import Segment
from fedcmr.pretraining.targets import SHARES, VIEW
from fedcmr.reports.reconstructions import Columns, Outlined, draw_outlines, draw_reconstructions

Shown = Mapping[str, Mapping[str, Tensor]]
"""Name -> an item of `Images`, to be drawn."""


def draw(learner: Learner, shown: Shown, folder: Path, epoch: int, title: str) -> dict[str, Path]:
    """Draws what the recipe's objectives can show; returns kind -> file, in the folder."""
    files = {}
    if "masked" in learner.objectives:
        files["reconstruction"] = folder / f"epoch-{epoch:04d}.png"
        rows = {name: columns(learner.model, item) for name, item in shown.items()}
        draw_reconstructions(files["reconstruction"], rows, title)
    if "segment" in learner.objectives:
        files["outlines"] = folder / f"outlines-{epoch:04d}.png"
        draw_outlines(files["outlines"], {name: outlines(learner, item) for name, item in shown.items()}, title)
    return files


@torch.no_grad()
def columns(model: MaskedAutoencoder, item: Mapping[str, Tensor]) -> Columns:
    """The middle slice of a frame, (X, Y) each: whole, with hidden patches NaN, and with those as the model tells them.

    Args:
        item: {"image": (C, X, Y, Z), "hidden": (N,)}; the first frame is shown, and the middle is that of the slices
            that are not all zero.
    """
    device = model.encoder.cls_token.device
    image, hidden = (item[name].to(device)[None] for name in ("image", "hidden"))
    told = model.told({VIEW: image}, {VIEW: hidden})[VIEW]
    patches = model.patches(VIEW, image)
    seen, mended = patches.clone(), patches.clone()
    seen[hidden] = float("nan")
    mended[hidden] = rearrange(told, "b m p -> (b m) p")
    z = middle(item["image"])
    original, masked, mended_image = (model.image(VIEW, part)[0, 0, ..., z] for part in (patches, seen, mended))
    return original.cpu(), masked.cpu(), mended_image.clamp(0, 1).cpu()


@torch.no_grad()
def outlines(learner: Learner, item: Mapping[str, Tensor]) -> dict[str, Outlined]:
    """The middle slice of each frame with the structures that are there and those that the model tells.

    Args:
        item: {"image": (C, X, Y, Z), "shares": (C, L, X', Y', Z)}.
    """
    head = learner.heads["segment"]
    assert isinstance(head, Segment)
    image = item["image"].to(learner.model.encoder.cls_token.device)[None]
    told = head(*learner.model.with_stages(image, VIEW))[0].softmax(dim=2)[0].cpu()
    z = middle(item["image"])
    names = ("ED", "ES") if len(told) == 2 else ("frame",)
    return {
        name: Outlined(item["image"][frame, ..., z], item[SHARES][frame, 1:, ..., z], told[frame, 1:, ..., z])
        for frame, name in enumerate(names)
    }


def middle(image: Tensor) -> int:
    """The middle slice of those of (C, X, Y, Z) that are not all zero; 0 where all are."""
    filled = image.amax(dim=(0, 1, 2)).nonzero().flatten()
    return int(filled[len(filled) // 2]) if len(filled) else 0
