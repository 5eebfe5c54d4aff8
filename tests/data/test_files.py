import os
from pathlib import Path

import pytest

from fedcmr.data.files import folders_of, reading, status_of


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "one")
    for name in ("one", "link"):
        with reading(tmp_path / name, "text") as stream:
            assert stream.read() == b"content"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match=r"pipe: cannot be read as text \(it is a folder, a pipe or a device\)"):
        status_of(tmp_path / "pipe", "text")


@pytest.mark.parametrize("name", ["absent", "zero\0inside", "x" * 300, "loop", "folder", "device"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"cannot be read as an image .* Restore the file"):
        status_of(tmp_path / name, "an image")


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 2**40)
    with pytest.raises(ValueError, match=r"1099511627776 bytes, expected at most 2147483648"):
        status_of(tmp_path / "hole", "an image")


def test_an_error_of_the_disk_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"content")
    with pytest.raises(ValueError, match=r"one: cannot be read as text \(Input/output error\)"):  # noqa: SIM117
        with reading(tmp_path / "one", "text"):
            raise OSError(5, "Input/output error")


def test_folders_are_in_the_order_of_their_names_and_files_left_aside(tmp_path: Path) -> None:
    for name in ("b", "a", "ä b"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert [folder.name for folder in folders_of(tmp_path)] == ["a", "b", "ä b"]
    assert folders_of(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", [b"new\nline", b"\x1b[2J", b"pati\xebnt"])
def test_a_folder_whose_name_cannot_be_shown_is_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).mkdir()
    with pytest.raises(ValueError, match=r"cannot be shown: .* Rename them") as raised:
        folders_of(tmp_path)
    assert str(raised.value).isprintable()
