"""What `views.py` drew, done to a volume and to its masks. In plane voxels are 1 mm.

    bias ─▶ contrast ─▶ blur ─▶ noise ─▶ turn, shift, zoom ─▶ mirror ─▶ upend        (masks: from the turn on)

Only slices that hold something are touched; those that fill the volume up stay zero and stay last.
"""

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn.functional import grid_sample

from fedcmr.data.views import Drawn

FIELD_NODES = (4, 4, 2)
"""Of the bias field along X, Y and Z."""


def apply(volume: Tensor, drawn: Drawn) -> Tensor:
    """A volume, (C, X, Y, Z) in [0, 1], as one view shows it, in [0, 1] again."""
    X, Y, Z = extent(volume)
    if not Z:
        return volume
    seen = torch.zeros_like(volume)
    seen[:, :X, :Y, :Z] = _shaded(volume[:, :X, :Y, :Z], drawn)  # what was filled up with zeros stays zero
    return _moved(seen, drawn, Z, "bilinear")


def apply_to_masks(masks: Tensor, drawn: Drawn, slices: int) -> Tensor:
    """Masks, (C, X, Y, Z) of small integers, moved as `apply` moves their volume; the nearest voxel's label is taken.

    Args:
        slices: of the volume that hold something, the first ones.
    """
    return _moved(masks, drawn, slices, "nearest")


def extent(volume: Tensor) -> tuple[int, int, int]:
    """Voxels along X, Y and Z up to the last that is not zero in every frame; a volume of zeros has none."""
    flat = volume.amax(0)
    plane = flat.amax(2)
    along = (plane.amax(1), plane.amax(0), flat.amax((0, 1)))
    X, Y, Z = (int(line.nonzero().amax()) + 1 if bool(line.any()) else 0 for line in along)
    return X, Y, Z


def _shaded(image: Tensor, drawn: Drawn) -> Tensor:
    """Bias, contrast, blur and noise, kept in [0, 1]."""
    if drawn.bias > 0:
        greatest = image.max()
        image = image * torch.exp(drawn.bias * smooth_field(image.shape[1:], drawn.bias_seed))
        image *= greatest / image.max()
    if drawn.gamma != 1.0:
        low = image.min()
        reach = image.max() - low
        image = ((image - low) / (reach + 1e-7)) ** drawn.gamma * reach + low
    if drawn.blur_mm > 0:
        along_X, along_Y = (_blurring(size, drawn.blur_mm) for size in image.shape[1:3])
        image = rearrange(along_X @ rearrange(image, "c x y z -> c z x y") @ along_Y.T, "c z x y -> c x y z")
    if drawn.noise_std > 0:
        random = torch.Generator().manual_seed(drawn.noise_seed)
        image = image + drawn.noise_std * torch.randn(image.shape, generator=random)
    return image.clamp(0, 1)


def smooth_field(shape: torch.Size, seed: int) -> Tensor:
    """(X, Y, Z) in [-1, 1], a function of (shape, seed): uniform at a few nodes, linear between them."""
    X, Y, Z = shape
    nodes = torch.rand(FIELD_NODES, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    hats = [_hats(size, count) for size, count in zip((X, Y, Z), FIELD_NODES, strict=True)]
    return torch.einsum("xyc,zc->xyz", torch.einsum("xa,yb,abc->xyc", hats[0], hats[1], nodes), hats[2])


def _hats(size: int, count: int) -> Tensor:
    """(size, count): how much each of `count` nodes, spread from the first to the last voxel, counts at each voxel."""
    place = torch.linspace(0, count - 1, size)[:, None]
    return (1 - (place - torch.arange(count)).abs()).clamp(min=0)


def _blurring(size: int, sigma: float) -> Tensor:
    """(size, size): a Gaussian around each voxel; rows sum to 1, so that edges do not darken."""
    step = torch.arange(size)[:, None] - torch.arange(size)[None, :]
    weights = torch.exp(-(step.float() ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdim=True)


def _moved(volume: Tensor, drawn: Drawn, slices: int, mode: str) -> Tensor:
    """Turned, shifted and zoomed about the middle of the grid, then mirrored, then with slices in reverse order."""
    seen = volume[..., :slices]
    if (drawn.turn, drawn.across_mm, drawn.along_mm, drawn.zoom) != (0.0, 0.0, 0.0, 1.0):
        flat = rearrange(seen, "c x y z -> 1 (c z) x y").float()
        grid = _sampled(drawn, flat.shape[2], flat.shape[3])
        flat = grid_sample(flat, grid, mode=mode, padding_mode="zeros", align_corners=False)
        seen = rearrange(flat, "1 (c z) x y -> c x y z", c=len(volume)).to(volume.dtype)
    if drawn.mirror:
        seen = seen.flip(1)
    if drawn.upend:
        seen = seen.flip(3)
    moved = torch.zeros_like(volume)
    moved[..., :slices] = seen
    return moved


def _sampled(drawn: Drawn, X: int, Y: int) -> Tensor:
    """(1, X, Y, 2): where each voxel is taken from, along Y and X in halves of the grid: p ↦ R (zoom · p + shift)."""
    x, y = (torch.arange(size) - (size - 1) / 2 for size in (X, Y))
    across, along = drawn.zoom * x[:, None] + drawn.across_mm, drawn.zoom * y[None, :] + drawn.along_mm
    cos, sin = math.cos(drawn.turn), math.sin(drawn.turn)
    return torch.stack([(sin * across + cos * along) * (2 / Y), (cos * across - sin * along) * (2 / X)], dim=-1)[None]
