import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from fuzzing_images import ZEROS, one_stream, with_header
from made_data import SHAPE, write_nifti

from fedcmr.data.headers import HEADER_BYTES
from fedcmr.data.unpacking import MOST_SPARE_BYTES, open_frame, open_nifti, shape_of

FRAME_BYTES = 2 * math.prod(SHAPE)


def cine(file: Path, frames: int = 6) -> np.ndarray:
    """A cine of noise, written there."""
    voxels = np.random.default_rng(0).integers(0, 999, size=(*SHAPE, frames)).astype(np.int16)
    write_nifti(file, voxels)
    return voxels


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_no_frame_is_kept_but_those_asked_for(tmp_path: Path, suffix: str) -> None:
    voxels = cine(tmp_path / f"cine{suffix}")
    opened = open_nifti(tmp_path / f"cine{suffix}", (4, 1, 4))
    assert opened.frames == {index: voxels[..., index].tobytes(order="F") for index in (1, 4)}
    assert open_nifti(tmp_path / f"cine{suffix}", (6, -1)).frames == {}


def test_no_more_is_unpacked_than_the_frames_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cine(tmp_path / "cine.nii.gz")
    content = bytearray((tmp_path / "cine.nii.gz").read_bytes())
    content[-2000:-4] = bytes(1996)
    (tmp_path / "cine.nii.gz").write_bytes(content)
    assert open_frame(tmp_path / "cine.nii.gz", 2).frames.keys() == {2}
    with pytest.raises(ValueError, match="truncated or damaged"):
        open_frame(tmp_path / "cine.nii.gz", 5)


def test_extensions_before_the_voxels_are_read_past(tmp_path: Path) -> None:
    voxels = cine(tmp_path / "cine.nii.gz")
    plain = gzip.decompress((tmp_path / "cine.nii.gz").read_bytes())
    longer = plain[:348] + bytes((1, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0)) + b"x" * 24 + plain[HEADER_BYTES:]
    (tmp_path / "cine.nii.gz").write_bytes(with_header(gzip.compress(longer), vox_offset=HEADER_BYTES + 32))
    assert open_frame(tmp_path / "cine.nii.gz", 1).frames[1] == voxels[..., 1].tobytes(order="F")


def test_the_checksum_of_a_single_frame_is_compared(tmp_path: Path) -> None:
    write_nifti(tmp_path / "frame.nii.gz", np.arange(math.prod(SHAPE), dtype=np.int16).reshape(SHAPE))
    content = bytearray((tmp_path / "frame.nii.gz").read_bytes())
    content[-8] ^= 1
    (tmp_path / "frame.nii.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"frame\.nii\.gz: truncated or damaged \(CRC check failed"):
        open_frame(tmp_path / "frame.nii.gz", None)


def test_a_few_bytes_after_the_last_voxel_are_left_aside_and_a_flood_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "frame.nii.gz"
    write_nifti(file, np.arange(math.prod(SHAPE), dtype=np.int16).reshape(SHAPE))
    plain = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(plain + bytes(MOST_SPARE_BYTES)))
    assert len(open_frame(file, None).frames[0]) == FRAME_BYTES
    file.write_bytes(one_stream(plain, mebibytes=4096, told=len(plain)))
    assert file.stat().st_size < 4096 * ZEROS / 200
    with pytest.raises(ValueError, match=r"more than 1048576 bytes after its last voxel; its header promises"):
        open_frame(file, None)


def test_a_plain_file_is_whole_or_refused(tmp_path: Path) -> None:
    cine(tmp_path / "cine.nii")
    os.truncate(tmp_path / "cine.nii", HEADER_BYTES + 6 * FRAME_BYTES - 1)
    with pytest.raises(ValueError, match=r"cine\.nii: truncated, \d+ bytes; its header promises"):
        open_frame(tmp_path / "cine.nii", 0)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_axes_are_known_by_the_header_alone(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"cine{suffix}"
    cine(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert shape_of(file) == (*SHAPE, 6)
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"its header cannot be read|not a NIfTI file \(40 bytes"):
        shape_of(file)
