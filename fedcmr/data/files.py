"""Files that others made, opened so that none of them holds a run up or fills its memory.

Links are followed, wherever they lead: who owns the disk sets them, and a data set is often a folder of links. What a
table says never becomes a path; it is looked up among the folders that are there.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from fedcmr.data.cases import listed, shown

MOST_BYTES = 2**31
"""Of an image, on disk as well as unpacked: 512 x 512 x 20 voxels of 8 bytes in 50 frames. Our choice."""


@contextmanager
def reading(file: Path, what: str, most_bytes: int = MOST_BYTES) -> Iterator[BufferedReader]:
    """The file, open to be read; an error of the disk inside is an error of this file.

    Args:
        what: an image, a text: for the message.
    Raises: ValueError as `status_of`, and where it cannot be opened or read.
    """
    status_of(file, what, most_bytes)
    try:
        with file.open("rb") as stream:
            yield stream
    except OSError as error:
        raise _unreadable(file, what, error.strerror or str(error)) from error


def status_of(file: Path, what: str, most_bytes: int = MOST_BYTES) -> os.stat_result:
    """What the disk says of a file.

    Raises: ValueError where the file is missing, no regular file (opening a pipe would wait for ever), or greater than
        `most_bytes`.
    """
    try:
        status = file.stat()
    except (OSError, ValueError) as error:  # a ValueError where its name holds a zero
        raise _unreadable(file, what, getattr(error, "strerror", None) or str(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise _unreadable(file, what, "it is a folder, a pipe or a device")
    if status.st_size > most_bytes:
        raise _unreadable(file, what, f"{status.st_size} bytes, expected at most {most_bytes}")
    return status


def is_file(file: Path) -> bool:
    """Whether a regular file is there. Raises: ValueError where the disk does not say."""
    with _looking(file):
        return file.is_file()


def is_there(place: Path) -> bool:
    """Whether anything is there. Raises: ValueError where the disk does not say."""
    with _looking(place):
        return place.exists()


def folders_of(place: Path) -> list[Path]:
    """The folders in `place`, in the order of their names; none where there is no such place.

    Raises: ValueError where the disk does not say, or a name holds what cannot be shown: it would stand in messages,
        tables and reports.
    """
    with _looking(place):
        folders = [folder for folder in sorted(place.iterdir()) if folder.is_dir()] if place.is_dir() else []
    strange = [shown(folder.name) for folder in folders if not folder.name.isprintable()]
    if strange:
        raise ValueError(
            f"{place}: folders whose names hold characters that cannot be shown: {listed(strange)}. Rename them."
        )
    return folders


@contextmanager
def _looking(place: Path) -> Iterator[None]:
    """Inside, an error of the disk, such as a lack of permission or a name that is too long, is one of this place."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{place}: cannot be looked at ({error.strerror or error}). Mend its name or its permissions."
        ) from error


def _unreadable(file: Path, what: str, reason: str) -> ValueError:
    return ValueError(f"{file}: cannot be read as {what} ({reason}). Restore the file.")
