"""The fixed sine-cosine position code of the foundation model, its unusual order of axes included."""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional

LONGEST_WAVE = 10000.0


def position_code(grid: Sequence[int], width: int) -> Tensor:
    """sin(p ω_k), cos(p ω_k) for each axis in turn, ω_k = LONGEST_WAVE^(−k / (d/2)), d = width // axes rounded down
    to even.

    For token t of the grid (H, W, Z) in row-major order and u = t div Z, the first share of channels encodes u mod H,
    the second u div H, the third t mod Z. Where H = W the first share is thus the second axis. Published weights were
    trained with that order, so it stays, also where H ≠ W and it fits no axis.

    Args:
        grid: tokens along each of 2 or 3 axes, each ≥ 1.
        width: D; channels that the axes leave over are zero.
    Returns: (1, N, D) float32, the same for every input.
    """
    share = width // len(grid) // 2 * 2
    waves = LONGEST_WAVE ** (-torch.arange(share // 2, dtype=torch.float64) / (share / 2))
    axes = torch.meshgrid([torch.arange(size, dtype=torch.float64) for size in grid], indexing="xy")
    code_ND = torch.cat([_waves_of(axis.flatten(), waves) for axis in axes], dim=1)
    return rearrange(functional.pad(code_ND, (0, width - code_ND.shape[1])), "n d -> 1 n d").float()


def resized(code: Tensor, built: Sequence[int], wanted: Sequence[int]) -> Tensor:
    """The code (1, N, D) of the grid `built`, interpolated to the grid `wanted`: bicubic on 2 axes, trilinear on 3.

    An equal grid gives back the same tensor.
    """
    if tuple(built) == tuple(wanted):
        return code
    sizes = dict(zip("hwz", built, strict=False))
    axes = " ".join(sizes)
    image = rearrange(code, f"b ({axes}) d -> b d {axes}", **sizes)
    mode = "bicubic" if len(built) == 2 else "trilinear"
    image = functional.interpolate(image, size=tuple(wanted), mode=mode, align_corners=False)
    return rearrange(image, f"b d {axes} -> b ({axes}) d")


def _waves_of(positions_N: Tensor, waves: Tensor) -> Tensor:
    angles = torch.outer(positions_N, waves)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
