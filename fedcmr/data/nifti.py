"""NIfTI file -> voxels of one frame and their spacing, with every fault named.

The spacing is the header's pixdim, never the affine: ACDC's affines have unit scale, and directions that are not
orthonormal occur in M&Ms. Voxels stay in the order in which they are stored; nothing is reoriented, as in the
backbone's training.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from torch import Tensor

from fedcmr.data.cases import Case, Frame
from fedcmr.data.files import is_file
from fedcmr.data.headers import Layout
from fedcmr.data.unpacking import Opened, open_frame, open_nifti

PIXEL_MM = (0.2, 5.0)
SLICE_MM = (1.0, 30.0)
FIELD_MM = (800.0, 800.0, 500.0)
"""Widest picture along X, Y and Z: the widest bore there is, and the length over which magnets are even."""


@dataclass(frozen=True)
class Picture:
    """One frame. voxels: (X, Y, Z) float32 as stored and scaled by the header. spacing_mm: along X, Y and Z."""

    voxels: Tensor
    spacing_mm: tuple[float, float, float]


def read_pair(case: Case) -> tuple[Picture, Picture]:
    """ED and ES of a case; a file that holds both is opened once.

    Raises: ValueError as `open_nifti` and `take_frame`, or where the two frames lie on different grids.
    """
    if case.ed.image == case.es.image:
        frames = [index for index in (case.ed.index, case.es.index) if index is not None]
        image = open_nifti(case.ed.image, frames)
        ed, es = take_frame(image, case.ed.image, case.ed.index), take_frame(image, case.es.image, case.es.index)
    else:
        ed, es = (
            take_frame(open_frame(frame.image, frame.index), frame.image, frame.index) for frame in (case.ed, case.es)
        )
    _refuse_other_grid(es, case.es.image, ed, case.ed.image)
    return ed, es


def read_mask(frame: Frame, picture: Picture) -> Tensor:
    """The mask of a frame, (X, Y, Z) int64, on the grid of its picture.

    Raises: ValueError where there is no mask, it cannot be read, or it lies on another grid.
    """
    if frame.mask is None or not is_file(frame.mask):
        raise ValueError(
            f"{frame.image}: found no mask {frame.mask or ''}; expected one. Use data.crop=image, which needs none."
        )
    mask = take_frame(open_frame(frame.mask, frame.index), frame.mask, frame.index, may_be_constant=True)
    _refuse_other_grid(mask, frame.mask, picture, frame.image)
    return mask.voxels.round().long()


def take_frame(image: Opened, file: Path, index: int | None, may_be_constant: bool = False) -> Picture:
    """One frame of an open image.

    Args:
        index: frame of a 4-D image, from 0, among those that it was opened for; None for a 3-D image.
    Raises: ValueError where the image has not the axes that `index` asks for, fewer than two voxels along one of X,
        Y, Z, the frame is out of range, the spacing is no length, the picture is wider than a scanner, or voxels are
        NaN, infinite, too far apart for float32 or (unless `may_be_constant`) all equal.
    """
    shape = image.layout.shape
    wanted = 3 if index is None else 4
    if len(shape) != wanted or min(shape[:3]) < 2:
        asked = "3-D (x, y, slices)" if index is None else "4-D (x, y, slices, frames)"
        hint = "one frame of the cine as its own file" if len(shape) == 4 else "the short-axis stack"
        raise ValueError(f"{file}: image of shape {shape}; expected {asked} with two or more slices. Give {hint}.")
    if index is not None and not 0 <= index < shape[3]:
        raise ValueError(
            f"{file}: frame {index} is out of range; the file has frames 0 to {shape[3] - 1}. Correct the table."
        )
    spacing = (image.layout.pixdim[0], image.layout.pixdim[1], image.layout.pixdim[2])
    _check_field(file, shape, spacing)
    voxels = _numbers(image.layout, image.frames[index or 0])
    bad = int((~torch.isfinite(voxels)).sum())
    if bad:
        raise ValueError(f"{file}: {bad} voxels are NaN or infinite; expected finite numbers. Export the image anew.")
    least, most = voxels.min(), voxels.max()
    if not bool(torch.isfinite(most - least)):
        raise ValueError(
            f"{file}: voxels from {float(least):g} to {float(most):g}; expected a range that a 32-bit number holds. "
            "Export the image anew."
        )
    if not may_be_constant and bool(least == most):
        raise ValueError(f"{file}: every voxel is {float(least):g}; expected an image. Export it anew.")
    return Picture(voxels, spacing)


def _check_field(file: Path, shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> None:
    ranges = (PIXEL_MM, PIXEL_MM, SLICE_MM)
    for axis, size, length, (least, most), widest in zip("xyz", shape[:3], spacing_mm, ranges, FIELD_MM, strict=True):
        if not least <= length <= most:
            raise ValueError(
                f"{file}: pixdim along {axis} is {length:g} mm; expected {least:g} to {most:g}. Correct the header."
            )
        if size * length > widest:
            raise ValueError(
                f"{file}: {size} voxels of {length:g} mm along {axis} are {size * length:g} mm; expected at most "
                f"{widest:g}, the widest that a scanner sees. Correct the header."
            )


def _numbers(layout: Layout, stored: bytes) -> Tensor:
    """(X, Y, Z) float32 of a frame as stored; what float32 cannot hold becomes infinite."""
    spec = (layout.shape[:3], layout.dtype, 0, layout.slope, layout.inter)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = nibabel.arrayproxy.ArrayProxy(io.BytesIO(stored), spec)[...]
        return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))


def _refuse_other_grid(one: Picture, one_file: Path, other: Picture, other_file: Path) -> None:
    same = one.voxels.shape == other.voxels.shape and np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3)
    if not same:
        grids = [f"{tuple(picture.voxels.shape)} voxels of {picture.spacing_mm} mm" for picture in (one, other)]
        raise ValueError(
            f"{one_file}: grid of {grids[0]}; expected that of {other_file}, {grids[1]}. Resample one of them."
        )
