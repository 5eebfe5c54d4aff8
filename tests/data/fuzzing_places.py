"""Bad places: each function takes the path of a sound file in a data set, and puts something else there."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from numpy.random import Generator

Place = Callable[[Path, Generator], None]

NAMES = ("new\nline", "\x1b[2Jclear", "\u202eright to left", "tab\t", " ", "-rf", "x" * 255, ".hidden", "a b", "%s%n")
ROOMY = 2**42
"""4 TiB: what a sparse file says that it holds, and takes no room."""


def absent(file: Path, random: Generator) -> None:
    file.unlink()


def folder_instead(file: Path, random: Generator) -> None:
    file.unlink()
    file.mkdir()


def pipe_instead(file: Path, random: Generator) -> None:
    """Whoever opens it waits until somebody writes."""
    file.unlink()
    os.mkfifo(file)


def socket_instead(file: Path, random: Generator) -> None:
    file.unlink()
    with socket.socket(socket.AF_UNIX) as made:
        # a socket's path may have no more than 107 characters
        here = Path.cwd()
        os.chdir(file.parent)
        try:
            made.bind(file.name)
        finally:
            os.chdir(here)


def link_to_nothing(file: Path, random: Generator) -> None:
    _link(file, file.with_name("nothing"))


def link_to_itself(file: Path, random: Generator) -> None:
    _link(file, file)


def link_to_endless_zeros(file: Path, random: Generator) -> None:
    _link(file, Path("/dev/zero"))


def link_to_the_void(file: Path, random: Generator) -> None:
    _link(file, Path("/dev/null"))


def link_out_of_the_root(file: Path, random: Generator) -> None:
    """To a file of the system that is neither image nor table."""
    _link(file, Path("/etc/passwd"))


def link_to_a_file_of_the_kernel(file: Path, random: Generator) -> None:
    """It says that it is empty, and holds something."""
    _link(file, Path("/proc/self/status"))


def climbing_link(file: Path, random: Generator) -> None:
    _link(file, Path("../" * 40 + "etc/hostname"))


def without_permission(file: Path, random: Generator) -> None:
    file.chmod(0)


def endless_hole(file: Path, random: Generator) -> None:
    """The file, then a hole of 4 TiB, of which a disk keeps nothing."""
    os.truncate(file, ROOMY)


def shortened_in_place(file: Path, random: Generator) -> None:
    os.truncate(file, int(random.integers(file.stat().st_size)))


def folder_renamed(file: Path, random: Generator) -> None:
    other = file.parent.with_name(str(random.choice(NAMES)))
    file.parent.rename(other)


def folder_named_in_latin(file: Path, random: Generator) -> None:
    """A name that is no UTF-8."""
    file.parent.rename(os.fsdecode(os.fsencode(file.parent.parent) + b"/pati\xebnt"))


def file_instead_of_the_folder(file: Path, random: Generator) -> None:
    content = file.read_bytes()
    shutil.rmtree(file.parent)
    file.parent.write_bytes(content)


def link_instead_of_the_folder(file: Path, random: Generator) -> None:
    shutil.rmtree(file.parent)
    file.parent.symlink_to(random.choice(("/", "..", ".", "/proc/self/fd", "/nowhere")))


def strange_folder_beside(file: Path, random: Generator) -> None:
    (file.parent.parent / str(random.choice(NAMES))).mkdir()


PLACES: tuple[Place, ...] = (
    absent,
    folder_instead,
    pipe_instead,
    socket_instead,
    link_to_nothing,
    link_to_itself,
    link_to_endless_zeros,
    link_to_the_void,
    link_out_of_the_root,
    link_to_a_file_of_the_kernel,
    climbing_link,
    without_permission,
    endless_hole,
    shortened_in_place,
    folder_renamed,
    folder_named_in_latin,
    file_instead_of_the_folder,
    link_instead_of_the_folder,
    strange_folder_beside,
)


def _link(file: Path, target: Path) -> None:
    file.unlink()
    file.symlink_to(target)
