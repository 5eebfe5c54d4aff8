"""Trials with bad files: a small sound data set, one file of it spoilt, read as a run reads it, within bounds.

What is done to a file stands in `fuzzing_images.py`, `fuzzing_words.py` and `fuzzing_places.py`.
"""

import contextlib
import faulthandler
import io
import re
import resource
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fuzzing_images import BOMBS, IMAGES, Content
from fuzzing_places import PLACES, Place
from fuzzing_words import HEAVY, INFOS, TABLES
from made_data import Row, make_acdc, make_mnms, make_mnms2
from numpy.random import Generator

from fedcmr.arguments import USAGE, guarded
from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case
from fedcmr.data.frames import CINE, all_pairs
from fedcmr.data.measures import heart_measures
from fedcmr.data.mnms import read_mnms
from fedcmr.data.mnms2 import read_mnms2
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.volumes import SHAPE, Volumes

IMAGE, WORDS, PLACE = "image", "words", "place"
"""What a mutator is for: the bytes of an image or mask, those of an Info.cfg or a table, or any file's place."""

SECONDS = 20
"""A sound data set takes 0.1 s; what takes longer than this is taken to hang."""

ROOM_BYTES = 2**30
"""What one bad file may take beside what the process holds already."""

LONGEST_MESSAGE = 4000


@dataclass(frozen=True)
class Layout:
    """How a data set is made and read. words: name of its Info.cfg or table."""

    make: Callable[[Path], Path]
    read: Callable[[Path], list[Case]]
    words: tuple[Content, ...]


LAYOUTS: Mapping[str, Layout] = {
    "acdc": Layout(lambda root: make_acdc(root, ["NOR"], ["DCM"]), read_acdc, INFOS),
    "mnms": Layout(
        lambda root: make_mnms(root, [Row("A0S9V9"), Row("B1C2D3", "B", "DCM", "Testing")]), read_mnms, TABLES
    ),
    "mnms2": Layout(
        lambda root: make_mnms2(root, [(1, "NOR", "SIEMENS"), (161, "TRI", "Philips Medical Systems")]),
        read_mnms2,
        TABLES,
    ),
}


PATIENTS = ("patient001", "patient002", "A0S9V9", "B1C2D3", "mnms2-001", "mnms2-161")


@dataclass(frozen=True)
class Trial:
    """One bad file. kind: what it is; mutator: what is done to it; seed: of all that is drawn in doing so."""

    layout: str
    kind: str
    mutator: Content | Place
    seed: int

    def __str__(self) -> str:
        return f"{self.layout}-{self.kind}-{self.mutator.__name__}-{self.seed}"


class HangError(BaseException):
    """Not an `Exception`, so that nothing takes it for a bad file."""


def every_mutator(seeds: int) -> list[Trial]:
    """Each mutator of each layout, this many times."""
    return [
        Trial(name, kind, mutator, seed)
        for name, layout in LAYOUTS.items()
        for kind, mutators in ((IMAGE, IMAGES), (WORDS, layout.words), (PLACE, PLACES))
        for mutator in mutators
        for seed in range(seeds)
    ]


def heavy() -> list[Trial]:
    """Those that take long to make: bombs, and tables that are too long."""
    bombs = [Trial(layout, IMAGE, bomb, seed) for layout in LAYOUTS for bomb in BOMBS for seed in range(5)]
    return bombs + [Trial(layout, WORDS, mutator, 0) for layout in ("mnms", "mnms2") for mutator in HEAVY]


class Bench:
    """A folder of sound data sets, of which each trial spoils a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, layout in LAYOUTS.items():
            layout.make(folder / name)

    def tried(self, trial: Trial) -> str:
        """What a run says of the bad file: "" where it is read, else its one message.

        Raises: AssertionError where the message is not readable; anything that a command would show as a traceback.
        """
        random = np.random.default_rng(trial.seed)
        with tempfile.TemporaryDirectory(dir=self.folder, ignore_cleanup_errors=True) as place:
            root = Path(shutil.copytree(self.folder / trial.layout, Path(place) / "root"))
            spoilt = spoil(root, trial, random)
            preprocessing = Preprocessing(crop=str(random.choice(["image", "mask"])))
            told = io.StringIO()
            with bounded(), contextlib.redirect_stderr(told):
                code = guarded(lambda: read_all(LAYOUTS[trial.layout], root, Path(place), preprocessing), debug=False)
        message = told.getvalue().removesuffix("\n")
        if code:
            assert code == USAGE, trial
            assert_readable(message, root, spoilt)
        else:
            assert not message, trial
        return message


def spoil(root: Path, trial: Trial, random: Generator) -> Path:
    """Does it to a file that it is for; returns which."""
    images = sorted(root.rglob("*.nii.gz"))
    words = sorted(file for file in root.rglob("*") if file.suffix in (".cfg", ".csv"))
    files = {IMAGE: images, WORDS: words, PLACE: [*images, *words]}[trial.kind]
    file = files[int(random.integers(len(files)))]
    if trial.kind == PLACE:
        trial.mutator(file, random)
    else:
        file.write_bytes(trial.mutator(file.read_bytes(), random))
    return file


def read_all(layout: Layout, root: Path, cache: Path, preprocessing: Preprocessing) -> int:
    """Everything that a run, its controls and a pre-training open of a data set."""
    cases = layout.read(root)
    volumes = Volumes(preprocessing, cache)
    volumes.prepare(cases, masks=True)
    for case in cases:
        volume, masks = volumes[case], volumes.masks(case)
        assert volume.shape[1:] == masks.shape[1:] == SHAPE
        assert 0 <= float(volume.min()) <= float(volume.max()) <= 1
        assert set(torch.unique(masks).tolist()) <= {0, 1, 2, 3}
        assert volumes.geometry(case).slices > 1
        heart_measures(case)
    if cases[0].ed.index is not None:
        all_pairs(cases, CINE)
    return 0


def assert_readable(message: str, root: Path, spoilt: Path) -> None:
    """One line that can be shown, names the place and ends in a remedy."""
    assert message.startswith("Error: "), message
    assert message.isprintable(), message
    assert len(message) < LONGEST_MESSAGE, message[:LONGEST_MESSAGE]
    assert any(place in message for place in (spoilt.name, str(root), *PATIENTS)), message
    assert re.search(r"[a-z)][.:;,] .*\.$", message), message


@contextlib.contextmanager
def bounded(seconds: int = SECONDS, room_bytes: int = ROOM_BYTES) -> Iterator[None]:
    """Inside, what takes too long or too much memory fails, and what a library only warns of does too."""

    def hang(*_: object) -> None:
        raise HangError(f"longer than {seconds} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, hang)
    # a thread that hangs is waited for, and hears no alarm
    faulthandler.dump_traceback_later(2 * seconds, exit=True)
    signal.alarm(seconds)
    resource.setrlimit(resource.RLIMIT_AS, (pages("size") + room_bytes, hard))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", UserWarning)
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def pages(kind: str) -> int:
    """Bytes that this process holds: "size" of its addresses, or "resident" in memory."""
    size, resident = map(int, Path("/proc/self/statm").read_text().split()[:2])
    return {"size": size, "resident": resident}[kind] * resource.getpagesize()
