"""A NIfTI file, plain or compressed -> the stored bytes of the frames that are asked for, and nothing else of it.

The rest is read past in small pieces, so that a small file cannot fill the memory, whatever it unpacks to.
"""

import io
import os
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from isal import igzip, isal_zlib

from fedcmr.data.files import reading
from fedcmr.data.headers import HEADER_BYTES, Layout, read_layout

MOST_SPARE_BYTES = 2**20
"""How far a compressed file may go on after its last voxel. Some programs leave a few bytes there."""

GZIP, LENGTH_BYTES, CHUNK_BYTES = b"\x1f\x8b", 4, 2**20
DAMAGED: tuple[type[Exception], ...] = (
    EOFError,
    zlib.error,
    isal_zlib.error,  # type: ignore[assignment]  # its stub says an instance
    igzip.BadGzipFile,
)
"""What unpacking raises."""


@dataclass(frozen=True)
class Opened:
    """A file that was looked into. frames: index -> bytes as stored; a 3-D image is frame 0."""

    layout: Layout
    frames: Mapping[int, bytes]


def open_frame(file: Path, index: int | None) -> Opened:
    """As `open_nifti`, with one frame of a 4-D image, or a 3-D one (None)."""
    return open_nifti(file, () if index is None else (index,))


def open_nifti(file: Path, frames: Collection[int] = ()) -> Opened:
    """A NIfTI image. That the file is whole is found whichever frame is asked for, by the length that it says itself.

    Args:
        frames: of a 4-D image, those that will be taken; of a 3-D image the whole is read. A compressed file is
            unpacked no further than the last of them.
    Raises: ValueError where the file is missing, truncated, damaged, not NIfTI, or asks for more than is sound.
    """
    with reading(file, "an image") as raw:
        try:
            return _open(file, raw, frames)
        except DAMAGED as error:
            raise ValueError(
                f"{file}: truncated or damaged ({error}); expected a whole NIfTI file. Copy it anew."
            ) from error


def shape_of(file: Path) -> tuple[int, ...]:
    """The axes of an image, by its header alone. Raises: ValueError as `open_nifti`."""
    with reading(file, "an image") as raw:
        try:
            return read_layout(file, _unpacking(raw).read(HEADER_BYTES)).shape
        except DAMAGED as error:
            raise ValueError(f"{file}: its header cannot be read ({error}). Copy the file anew.") from error


def _open(file: Path, raw: io.BufferedReader, frames: Collection[int]) -> Opened:
    size, told = os.fstat(raw.fileno()).st_size, _told_length(raw)
    stream = _unpacking(raw)
    layout = read_layout(file, stream.read(HEADER_BYTES))
    is_packed, is_cine = stream is not raw, len(layout.shape) == 4
    if not is_packed and size < layout.end:
        raise _truncated(file, size, layout.end)
    there = {3: 1, 4: layout.shape[-1]}.get(len(layout.shape), 0)
    wanted = sorted({index for index in frames if 0 <= index < there} if is_cine else set(range(there)))
    kept, place = {}, HEADER_BYTES
    for index in wanted:
        start = layout.start + index * layout.frame_bytes
        place += _skipped(stream, start - place)
        kept[index] = stream.read(layout.frame_bytes)
        place += len(kept[index])
        if place < start + layout.frame_bytes:
            raise _truncated(file, place, layout.end)
    # the rest of a cine that says its length rightly need not be unpacked; only at the end stands the checksum
    if is_packed and not (is_cine and told == layout.end % 2**32):
        place += _skipped(stream, layout.end + MOST_SPARE_BYTES - place)
        if place < layout.end:
            raise _truncated(file, place, layout.end)
        if stream.read(1):
            raise ValueError(
                f"{file}: more than {MOST_SPARE_BYTES} bytes after its last voxel; its header promises {layout.end} in "
                "all. Copy it anew."
            )
    return Opened(layout, kept)


def _told_length(raw: io.BufferedReader) -> int:
    """The last four bytes of a gzip file say its length, modulo 2^32; a truncated one ends in four others."""
    raw.seek(max(raw.seek(0, os.SEEK_END) - LENGTH_BYTES, 0))
    return int.from_bytes(raw.read(LENGTH_BYTES), "little")


def _unpacking(raw: io.BufferedReader) -> io.BufferedIOBase:
    """The file's own bytes, or what they unpack to."""
    raw.seek(0)
    is_packed = raw.read(len(GZIP)) == GZIP
    raw.seek(0)
    return igzip.IGzipFile(fileobj=raw, mode="rb") if is_packed else raw


def _skipped(stream: io.BufferedIOBase, count: int) -> int:
    """Reads so many bytes, of which none are kept; fewer where the stream ends. Returns how many."""
    left = count
    while left > 0 and (met := len(stream.read(min(left, CHUNK_BYTES)))):
        left -= met
    return count - left


def _truncated(file: Path, met: int, end: int) -> ValueError:
    return ValueError(f"{file}: truncated, {met} bytes; its header promises {end}. Copy it anew.")
