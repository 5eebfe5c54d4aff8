"""A folder of bounded size."""

import os
import time
from pathlib import Path

import pytest

from fedcmr.models.room import FORGOTTEN_S, make_room, touch


def entry(folder: Path, name: str, age_s: float, size: int = 10) -> Path:
    path = folder / name[:2] / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.rglob("*.*"))


def test_those_unused_for_longest_give_way_and_no_more_than_must(tmp_path: Path) -> None:
    for age, name in enumerate(["young", "middle", "older", "oldest"]):
        entry(tmp_path, name, age * 100)
    room = make_room(tmp_path, [tmp_path / "ne" / "new.safetensors"], 15, 40)
    assert names(tmp_path) == ["middle", "young"]
    assert (room.missing, room.missing_bytes, room.held_bytes, room.removed) == (1, 15, 20, 2)


def test_what_is_wanted_stays_however_old(tmp_path: Path) -> None:
    wanted = entry(tmp_path, "wanted", 1000)
    entry(tmp_path, "other", 1)
    room = make_room(tmp_path, [wanted, tmp_path / "ne" / "new.safetensors"], 10, 20)
    assert names(tmp_path) == ["wanted"]
    assert (room.missing, room.removed) == (1, 1)


def test_use_is_noted(tmp_path: Path) -> None:
    old = entry(tmp_path, "old", 1000)
    entry(tmp_path, "young", 500)
    touch(old)
    make_room(tmp_path, [tmp_path / "ne" / "new.safetensors"], 10, 20)
    assert names(tmp_path) == ["old"]


def test_nothing_is_removed_while_there_is_room(tmp_path: Path) -> None:
    entry(tmp_path, "one", 5)
    assert make_room(tmp_path, [], 10, 10).removed == 0
    assert make_room(tmp_path / "nowhere", [tmp_path / "ne" / "new.safetensors"], 10, 10).missing == 1


def test_more_than_the_folder_may_hold_is_refused_and_nothing_removed(tmp_path: Path) -> None:
    entry(tmp_path, "one", 5)
    wanted = [tmp_path / "ne" / f"{name}.safetensors" for name in "abc"]
    with pytest.raises(ValueError, match=r"3 prefixes take 3 GB, and .* may hold 2\.5\. Raise prefix\.limit_gb"):
        make_room(tmp_path, wanted, 10**9, 2.5e9)
    assert names(tmp_path) == ["one"]


def test_what_killed_writers_left_is_removed_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    for name, age in (("killed", FORGOTTEN_S + 60), ("busy", 60)):
        path = tmp_path / "ab" / f"{name}.part"
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    make_room(tmp_path, [], 10, 10)
    assert names(tmp_path) == ["busy"]
