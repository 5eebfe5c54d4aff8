"""Simulated beating hearts of four vendors: the embedded default cohort, made once and kept in the user's cache.

    <cache>/phantom/training-<key>/, <cache>/phantom/testing-<key>/     the layout of M&Ms, read by its reader

A key is a hash of the generator's version and of the knobs that bear on the part, so several seeds share one test
cohort. Seeds 0 to 9 are for development, 100 and above for released tables; each side has its own test cohort.

    python -m fedcmr.data.phantom --montage FILE [data.root=DIR] [data.KNOB=VALUE ...]     a picture: vendors x
        diagnoses, ED and ES

The default cohort, 173 cines of 12 frames and 320 pairs of ED and ES, takes 0.66 GB and 90 s on two cores.
How hard it is, by controls alone, stands in experiments/phantom_difficulty.json: a forest on the anatomy as drawn tells
disease from NOR with AUROC 0.93, on a vendor's scan parameters with 0.54, on the vendor's name with 0.53.
What is simulated and after which sources stands in `phantoms/`: tissues.py, anatomy.py, heart.py, thorax.py,
scanner.py, acquire.py; what `style=randomised` draws instead in randomised.py and randomised_scan.py. Of that style
the 2156 pairs of ED and ES of configs/experiments/pretrain.yaml take 1.6 GB and seven minutes on two cores.
"""

import argparse
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedcmr.config import fill, gather
from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case, cache_root
from fedcmr.data.mnms import TABLE, read_mnms
from fedcmr.data.phantoms.anatomy import GROUPS
from fedcmr.data.phantoms.cohort import (
    FIRST_RELEASED_SEED,
    OPEN_MNMS,
    RANDOMISED,
    REALISTIC,
    STYLES,
    Patient,
    testing_cohort,
    training_cohort,
)
from fedcmr.data.phantoms.writing import write_cohort

# raise it with every change that alters a voxel, a mask or a table
GENERATOR = "3"
# the same for what the randomised style alone draws
RANDOMISED_VERSION = "1"
SOURCE = "phantom"


@dataclass(frozen=True)
class Knobs:
    """A phantom cohort.

    Args:
        seed: >= 0; draws the training cohort and its vendors' parameters. Below 100 development, from 100 on
            released tables.
        scale: > 0; case numbers are those of the open M&Ms (95, 125, 75, 50) divided by it.
        acquisition_shift: 0 to 2; how far the vendors' scanners lie apart, 1 as real ones do.
        case_mix_shift: 0 to 1; how far the vendors' mixes of diagnoses lie apart.
        test_per_vendor: >= 4 and even; test patients of each vendor, half of them normal. 0 for no test part.
        frames: 6 to 40, frames of a training patient's cine; 2 for end-diastole and end-systole only, which is what
            test patients have.
        style: "realistic"; or "randomised": hearts and scans far wider than life, each number drawn on its own, to
            learn from and not to be judged on. There a vendor is a name without meaning and a group says only which
            pattern the wall has, so neither shift has an effect and both must stay at 1.
    Raises: ValueError where a knob is out of its range.
    """

    seed: int = 0
    scale: float = 2.0
    acquisition_shift: float = 1.0
    case_mix_shift: float = 1.0
    test_per_vendor: int = 80
    frames: int = 12
    style: str = REALISTIC

    def __post_init__(self) -> None:
        _check("seed", self.seed, 0, 2**31 - 1)
        _check("scale", self.scale, 0.1, max(OPEN_MNMS.values()))
        _check("acquisition_shift", self.acquisition_shift, 0, 2)
        _check("case_mix_shift", self.case_mix_shift, 0, 1)
        if self.test_per_vendor != 0:
            _check("test_per_vendor", self.test_per_vendor, 4, 2000)
        if self.frames != 2:
            _check("frames", self.frames, 6, 40)
        if self.style not in STYLES:
            raise ValueError(f"data.style={self.style}; expected {' or '.join(STYLES)}.")
        for name in ("acquisition_shift", "case_mix_shift"):
            if self.style == RANDOMISED and getattr(self, name) != 1:
                raise ValueError(
                    f"data.{name}={getattr(self, name):g} has no effect with data.style={RANDOMISED}, whose vendors "
                    "are alike; expected 1. Leave it out."
                )
        if self.test_per_vendor % 2:
            raise ValueError(
                f"data.test_per_vendor={self.test_per_vendor} is odd; expected even: half normal, half diseased."
            )


def _check(name: str, value: float, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise ValueError(f"data.{name}={value:g}; expected {least:g} to {most:g}.")


def build(knobs: Knobs, progress: Callable[[int, int], None] | None = None, workers: int = 0) -> list[Case]:
    """The cohort's cases, training before test, by code; made first where the cache does not hold them.

    Args:
        progress: called with patients made and all; by default a line on stderr now and then.
        workers: processes that make a cohort; 0 for one per core, at most four.
    Raises: ValueError where the cache cannot be written or holds a damaged cohort.
    """
    cases: list[Case] = []
    for part, patients in cohorts(knobs).items():
        folder = cohort_folder(knobs, part)
        try:
            write_cohort(
                patients,
                folder,
                workers or min(os.cpu_count() or 1, 4),
                progress or Announcement(part),
            )
        except OSError as error:
            raise ValueError(
                f"{folder}: the phantom cohort cannot be written ({error}). Set FEDCMR_CACHE to a folder that can."
            ) from error
        cases += [replace(case, source=SOURCE) for case in _read(folder)]
    return cases


def _read(folder: Path) -> list[Case]:
    try:
        return read_mnms(folder)
    except ValueError as error:
        raise ValueError(f"{folder} is damaged: {error} Or delete the folder; it is then made again.") from error


def cohorts(knobs: Knobs) -> dict[str, list[Patient]]:
    """The plan: patients of the parts "training" and, unless `test_per_vendor` is 0, "testing"."""
    is_realistic = knobs.style == REALISTIC
    shifts = (float(knobs.acquisition_shift), float(knobs.case_mix_shift)) if is_realistic else (0.0, 0.0)
    parts = {"training": training_cohort(knobs.seed, knobs.scale, *shifts, knobs.frames)}
    if knobs.test_per_vendor:
        parts["testing"] = testing_cohort(knobs.seed, knobs.test_per_vendor, *shifts)
    return {part: [replace(patient, style=knobs.style) for patient in patients] for part, patients in parts.items()}


def cohort_folder(knobs: Knobs, part: str) -> Path:
    """Where a part of the cohort lies, whether it has been made or not."""
    return cache_root() / "phantom" / f"{part}-{cohort_key(knobs, part)}"


def cohort_key(knobs: Knobs, part: str) -> str:
    """16 hexadecimal digits of a hash over the generator's version and the knobs that bear on the part."""
    shared = {
        "generator": GENERATOR,
        "part": part,
        "acquisition_shift": float(knobs.acquisition_shift),
        "case_mix_shift": float(knobs.case_mix_shift),
    }
    if part == "training":
        own: dict[str, float] = {"seed": knobs.seed, "scale": float(knobs.scale), "frames": knobs.frames}
    else:
        released = knobs.seed >= FIRST_RELEASED_SEED
        own = {"released": released, "test_per_vendor": knobs.test_per_vendor}
    if knobs.style == RANDOMISED:
        shared["style"] = f"{RANDOMISED} {RANDOMISED_VERSION}"
    return hashlib.sha256(json.dumps(shared | own, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Announcement:
    """Tells on stderr how far the making of one part is, every tenth of the way."""

    part: str

    def __call__(self, done: int, total: int) -> None:
        if done == 1 or done == total or done * 10 // total != (done - 1) * 10 // total:
            print(f"phantom, {self.part} cohort: {done} of {total} patients made", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Beside:
    """root: folder of ACDC or M&Ms whose hearts are drawn beside the simulated ones; empty for none."""

    root: str = ""


def main(arguments: Sequence[str]) -> int:
    """The command `python -m fedcmr.data.phantom`. Returns the exit status: 0, or 2 after a message on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m fedcmr.data.phantom", description="Make the phantom cohort and draw it."
    )
    parser.add_argument(
        "--montage", metavar="FILE", required=True, type=Path, help="PNG to write: vendors x diagnoses, ED and ES"
    )
    parser.add_argument(
        "settings", nargs="*", metavar="data.KNOB=VALUE", help="knobs of the phantom; data.root=DIR for real hearts"
    )
    given = parser.parse_args(arguments)
    try:
        config = fill(gather(None, {"data.name": SOURCE}, given.settings), {"data": (Knobs, Beside)})
        montage(given.montage, config.of("data", Knobs), config.of("data", Beside).root)
    except ValueError as error:
        print(f"phantom: {error}", file=sys.stderr)
        return 2
    return 0


def montage(file: Path, knobs: Knobs, root: str) -> None:
    """Draws test patients of every vendor and group into `file`, beside those of the data set at `root` if given."""
    # matplotlib is slow to import, and a run that draws nothing should not wait for it
    from fedcmr.data.phantoms.montage import draw_montage

    cases = build(knobs)
    cases = [case for case in cases if case.part == "testing"] or cases
    rows = {
        f"{case.client}": [c for c in cases if c.client == case.client]
        for case in sorted(cases, key=lambda c: c.client)
    }
    if root:
        rows["real"] = read_mnms(Path(root)) if (Path(root) / TABLE).is_file() else read_acdc(Path(root))
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_montage(file, rows, GROUPS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
