"""Whole runs on a made M&Ms cohort of 4 vendors x 8 patients, from the command line and in this process."""

import functools
import os
from pathlib import Path

import pytest
from made_data import Row, make_mnms

from fedcmr.run import main

GROUPS = ("NOR", "DCM", "NOR", "HCM", "NOR", "DCM", "NOR", "HCM")
WISHES = (
    "--data=mnms",
    "--clients=vendorA,vendorC",
    "--rounds=2",
    "data.split=vendor",
    "data.twins=no",
    "controls.blanked=no",
)
"""Two vendors are enough for most; made hearts are so alike that they would be taken for twins."""


def make_cohort(root: Path) -> Path:
    rows = [Row(f"{vendor}{index:02d}", vendor, group) for vendor in "ABCD" for index, group in enumerate(GROUPS)]
    return make_mnms(root, rows)


@functools.cache
def cohort() -> Path:
    """The cohort, made once in a process."""
    return make_cohort(_folder() / "mnms")


def command(out: Path, *more: str, root: Path | None = None) -> list[str]:
    """What to type for a run on the cohort (or on the one at `root`) into the folder `out`."""
    return [*WISHES, f"data.root={root or cohort()}", f"--out={out}", *more]


def run(out: Path, *more: str, root: Path | None = None, wandb: str = "disabled") -> int:
    """The exit code of such a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", wandb)
        return main(command(out, *more, root=root))


@functools.cache
def finished() -> Path:
    """The folder of a finished run, made once in a process; not to be written into."""
    out = _folder() / "finished"
    assert run(out) == 0
    return out


def _folder() -> Path:
    folder = Path(os.environ["HOME"]) / f"made-runs-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder
