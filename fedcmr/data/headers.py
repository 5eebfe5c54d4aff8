"""The header of a NIfTI file: which bytes are voxels and what they mean, bounded before anything is read.

Nothing in a header is repaired. What tells neither voxels nor their spacing (directions, extensions) is not looked at.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np

from fedcmr.data.files import MOST_BYTES

MOST_VOXELS = 2**24
"""Of one frame, 512 x 512 x 64: nine times the greatest of ACDC's 100 training patients. Our choice."""

MAGIC = b"n+1"
NUMBERS_BYTES, HEADER_BYTES = 348, 352


@dataclass(frozen=True)
class Layout:
    """What a header says of the bytes behind it.

    Args:
        shape: (X, Y, Z), (X, Y, Z, frames), or whatever else the file holds.
        pixdim: along each axis, mm and s.
        dtype: of a voxel as stored. slope, inter: x becomes slope · x + inter.
        start: byte at which the voxels begin.
    """

    shape: tuple[int, ...]
    pixdim: tuple[float, ...]
    dtype: np.dtype
    slope: float
    inter: float
    start: int

    @property
    def frame_bytes(self) -> int:
        return math.prod(self.shape[:3]) * self.dtype.itemsize

    @property
    def end(self) -> int:
        """Where the voxels end in the unpacked file."""
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def read_layout(file: Path, header: bytes) -> Layout:
    """What a header says. Nothing in it is repaired.

    Args:
        header: the first bytes of the unpacked file.
    Raises: ValueError where it is no header of a single NIfTI-1 file of real numbers, or its image is too large.
    """
    if len(header) < HEADER_BYTES:
        raise _no_nifti(file, f"{len(header)} bytes; a header has {HEADER_BYTES}")
    fields = nibabel.Nifti1Header(header[:NUMBERS_BYTES], check=False)
    if bytes(fields["magic"].item()) != MAGIC:
        raise _no_nifti(file, f"its magic word is {bytes(fields['magic'].item())!r}, not {MAGIC!r}")
    dim, start = [int(size) for size in fields["dim"]], float(fields["vox_offset"])
    shape = tuple(dim[1 : dim[0] + 1])
    if not 1 <= dim[0] <= 7 or min(shape) < 1:
        raise _no_nifti(file, f"its sizes are {dim}")
    if not start.is_integer() or start < HEADER_BYTES:
        raise _no_nifti(file, f"its voxels begin at byte {start:g}")
    try:
        dtype, (slope, inter) = fields.get_data_dtype(), fields.get_slope_inter()
    except (KeyError, nibabel.spatialimages.HeaderDataError) as error:
        raise _no_nifti(file, f"no type of voxels, or no scale: {error}") from error
    if dtype.kind not in "iuf":
        raise ValueError(f"{file}: voxels of type {dtype}; expected real numbers. Convert it.")
    # a sign, which some programs store for an axis that is flipped, is no part of a length
    pixdim = tuple(abs(float(length)) for length in fields["pixdim"][1 : dim[0] + 1])
    layout = Layout(shape, pixdim, dtype, 1.0 if slope is None else slope, 0.0 if inter is None else inter, int(start))
    if math.prod(shape[:3]) > MOST_VOXELS or layout.end > MOST_BYTES:
        raise ValueError(
            f"{file}: {' x '.join(map(str, shape))} voxels, {layout.end} bytes; expected at most {MOST_VOXELS} voxels "
            f"in a frame and {MOST_BYTES} bytes. Is this a short-axis cine? Export it anew."
        )
    return layout


def _no_nifti(file: Path, fault: str) -> ValueError:
    return ValueError(f"{file}: not a NIfTI file ({fault}). Convert it to .nii.gz.")
