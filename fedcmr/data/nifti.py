"""NIfTI file -> voxels of one frame and their spacing, with every fault named.

The spacing is the header's pixdim, never the affine: ACDC's affines have unit scale, and directions that are not
orthonormal occur in M&Ms. Voxels stay in the order in which they are stored; nothing is reoriented, as in the
backbone's training.
"""

import io
import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import torch
from isal import igzip, isal_zlib
from torch import Tensor

from fedcmr.data.cases import Case, Frame

PIXEL_MM = (0.2, 5.0)
SLICE_MM = (1.0, 30.0)
GZIP, HEADER_BYTES = b"\x1f\x8b", 352


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
            take_frame(open_nifti(frame.image, () if frame.index is None else (frame.index,)), frame.image, frame.index)
            for frame in (case.ed, case.es)
        )
    _refuse_other_grid(es, case.es.image, ed, case.ed.image)
    return ed, es


def read_mask(frame: Frame, picture: Picture) -> Tensor:
    """The mask of a frame, (X, Y, Z) int64, on the grid of its picture.

    Raises: ValueError where there is no mask, it cannot be read, or it lies on another grid.
    """
    if frame.mask is None or not frame.mask.is_file():
        raise ValueError(
            f"{frame.image}: found no mask {frame.mask or ''}; expected one. Use data.crop=image, which needs none."
        )
    mask = take_frame(open_nifti(frame.mask), frame.mask, frame.index, may_be_constant=True)
    _refuse_other_grid(mask, frame.mask, picture, frame.image)
    return mask.voxels.round().long()


def open_nifti(file: Path, frames: Collection[int] = ()) -> nibabel.Nifti1Image:
    """A NIfTI image. That the file is whole is found whichever frame is asked for, by the length that it says itself.

    Args:
        frames: of a 4-D image, those that will be taken; none for all. A compressed file is unpacked no further than
            the last of them.
    Raises: ValueError where the file is missing, truncated, damaged or not NIfTI.
    """
    try:
        raw = file.read_bytes()
        content, length = _unpacked(raw, frames) if raw[:2] == GZIP else (raw, len(raw))
        image = nibabel.Nifti1Image.from_bytes(content)
        header = image.header
        end = _end(header)
    except OSError as error:
        raise ValueError(f"{file}: cannot be read ({error}); expected a NIfTI file. Copy it anew.") from error
    except (EOFError, zlib.error, isal_zlib.error) as error:  # type: ignore[misc]  # its stub says an instance
        raise ValueError(
            f"{file}: truncated or damaged ({error}); expected a whole NIfTI file. Copy it anew."
        ) from error
    except (nibabel.spatialimages.HeaderDataError, nibabel.wrapstruct.WrapStructError, ValueError) as error:
        raise ValueError(f"{file}: not a NIfTI file ({error}). Convert it to .nii.gz.") from error
    if length < end:
        raise ValueError(f"{file}: truncated, {length} bytes; its header promises {end}. Copy it anew.")
    if header.get_data_dtype().kind not in "iuf":
        raise ValueError(f"{file}: voxels of type {header.get_data_dtype()}; expected real numbers. Convert it.")
    return image


def _unpacked(raw: bytes, frames: Collection[int]) -> tuple[bytes, int]:
    """The bytes of a gzip file as far as the last of these frames, and how many there are in all."""
    stream = isal_zlib.decompressobj(wbits=31)
    content = stream.decompress(raw, HEADER_BYTES)
    header = nibabel.Nifti1Header.from_fileobj(io.BytesIO(content), check=False)
    end = _end(header)
    # the last four bytes of the file say its length; a truncated one ends in four others
    if not frames or int.from_bytes(raw[-4:], "little") != end % 2**32:
        content = igzip.decompress(raw)
        return content, len(content)
    shape = header.get_data_shape()
    wanted = _end(header, min(max(frames) + 1, shape[3]) if len(shape) == 4 else None)
    return content + stream.decompress(stream.unconsumed_tail, max(wanted - len(content), 1)), end


def _end(header: nibabel.Nifti1Header, frames: int | None = None) -> int:
    """Where the voxels end in the unpacked file, those of the first `frames` frames or all."""
    shape = header.get_data_shape()
    voxels = math.prod(shape if frames is None else (*shape[:3], frames))
    return int(header["vox_offset"]) + voxels * header.get_data_dtype().itemsize


def take_frame(image: nibabel.Nifti1Image, file: Path, index: int | None, may_be_constant: bool = False) -> Picture:
    """One frame of an open image.

    Args:
        index: frame of a 4-D image, from 0; None for a 3-D image.
    Raises: ValueError where the image has not the axes that `index` asks for, fewer than two voxels along one of X,
        Y, Z, the frame is out of range, the spacing is no length, or voxels are NaN, infinite or (unless
        `may_be_constant`) all equal.
    """
    shape = image.shape
    wanted = 3 if index is None else 4
    if len(shape) != wanted or min(shape[:3]) < 2:
        asked = "3-D (x, y, slices)" if index is None else "4-D (x, y, slices, frames)"
        hint = "one frame of the cine as its own file" if len(shape) == 4 else "the short-axis stack"
        raise ValueError(f"{file}: image of shape {shape}; expected {asked} with two or more slices. Give {hint}.")
    if index is not None and not 0 <= index < shape[3]:
        raise ValueError(
            f"{file}: frame {index} is out of range; the file has frames 0 to {shape[3] - 1}. Correct the table."
        )
    spacing = tuple(float(length) for length in image.header.get_zooms()[:3])
    for length, (least, most), axis in zip(spacing, (PIXEL_MM, PIXEL_MM, SLICE_MM), "xyz", strict=True):
        if not least <= length <= most:
            raise ValueError(
                f"{file}: pixdim along {axis} is {length:g} mm; expected {least:g} to {most:g}. Correct the header."
            )
    stored = image.dataobj[..., index] if index is not None else image.dataobj[...]
    voxels = torch.from_numpy(np.ascontiguousarray(stored, dtype=np.float32))
    bad = int((~torch.isfinite(voxels)).sum())
    if bad:
        raise ValueError(f"{file}: {bad} voxels are NaN or infinite; expected finite numbers. Export the image anew.")
    if not may_be_constant and bool(voxels.min() == voxels.max()):
        raise ValueError(f"{file}: every voxel is {float(voxels.min()):g}; expected an image. Export it anew.")
    return Picture(voxels, (spacing[0], spacing[1], spacing[2]))


def _refuse_other_grid(one: Picture, one_file: Path, other: Picture, other_file: Path) -> None:
    same = one.voxels.shape == other.voxels.shape and np.allclose(one.spacing_mm, other.spacing_mm, rtol=1e-3)
    if not same:
        grids = [f"{tuple(picture.voxels.shape)} voxels of {picture.spacing_mm} mm" for picture in (one, other)]
        raise ValueError(
            f"{one_file}: grid of {grids[0]}; expected that of {other_file}, {grids[1]}. Resample one of them."
        )
