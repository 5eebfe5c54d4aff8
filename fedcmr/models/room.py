"""Room for new entries in a folder of bounded size: those that were used longest ago give way."""

import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ENTRY, PART = ".safetensors", ".part"
FORGOTTEN_S = 3600.0
"""Age from which a half-written file is taken for one whose writer was killed."""


@dataclass(frozen=True)
class Room:
    """What stands in the folder once room is made, in bytes.

    Args:
        missing: wanted entries that are not there yet. missing_bytes: what they will take.
        held_bytes: of the entries that stay. removed: how many gave way.
    """

    missing: int
    missing_bytes: int
    held_bytes: int
    removed: int


def make_room(folder: Path, wanted: Collection[Path], entry_bytes: int, limit_bytes: float) -> Room:
    """Removes entries until the missing ones fit, the longest unused first, and never one that is wanted.

    Args:
        wanted: places of the entries that will be used, there or not; each takes `entry_bytes`.
        limit_bytes: of the whole folder.
    Raises: ValueError where the wanted ones alone take more than that; nothing is then removed.
    """
    if len(set(wanted)) * entry_bytes > limit_bytes:
        raise ValueError(
            f"{len(set(wanted))} prefixes take {len(set(wanted)) * entry_bytes / 1e9:.3g} GB, and {folder} may hold "
            f"{limit_bytes / 1e9:.3g}. Raise prefix.limit_gb, halve them by prefix.dtype=bfloat16, or add "
            "prefix.keep=false."
        )
    found = dict(_entries(folder))
    missing = set(wanted) - found.keys()
    held = sum(entry.st_size for entry in found.values())
    others = sorted(found.keys() - set(wanted), key=lambda path: (found[path].st_mtime_ns, path))
    removed = 0
    for path in others:
        if held + len(missing) * entry_bytes <= limit_bytes:
            break
        path.unlink(missing_ok=True)  # whoever has it mapped keeps it to the end
        held -= found[path].st_size
        removed += 1
    return Room(len(missing), len(missing) * entry_bytes, held, removed)


def touch(entry: Path) -> None:
    """Notes that an entry is used now; one that just gave way, or lies in a folder of others, is left alone."""
    with suppress(OSError):
        os.utime(entry)


def _entries(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every entry with its size and time of use; what killed writers left half-written is removed."""
    for path in folder.glob("*/*"):
        # another process may remove what this one has just seen
        with suppress(FileNotFoundError):
            status = path.stat()
            if path.suffix == ENTRY:
                yield path, status
            elif path.suffix == PART and time.time() - status.st_mtime > FORGOTTEN_S:
                path.unlink()
