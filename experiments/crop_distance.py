"""How far the crop's centre lies from the left ventricle's, by rule, and how often the whole heart is inside.

    python experiments/crop_distance.py DIR

Needs ACDC's training patients; under a minute on one core. The constants of `fedcmr/data/cropping.py` were chosen on
the patients called "chosen on": the 60 whose names have the smallest SHA-256. Distances are in plane, in mm, from the
middle of the bounding box of the left ventricle's mask at ED; the heart is ventricles and myocardium at ED and ES.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case
from fedcmr.data.cropping import find_heart, mask_centre, window
from fedcmr.data.nifti import read_mask, read_pair
from fedcmr.data.preparing import SPACING_MM, WINDOW, rescale
from fedcmr.data.resampling import resample, resample_labels

CHOSEN_ON = 60
Place = tuple[float, float]


@dataclass(frozen=True)
class Study:
    """ED and ES at 1x1x10 mm in [0, 1], the middle of the left ventricle, the outermost pixels of the heart."""

    name: str
    ed: Tensor
    es: Tensor
    middle: Place
    low: tuple[int, int]
    high: tuple[int, int]


RULES: dict[str, Callable[[Study], Place]] = {
    "found in the images": lambda study: find_heart(study.ed, study.es),
    "image's centre": lambda study: ((study.ed.shape[0] - 1) / 2, (study.ed.shape[1] - 1) / 2),
    "mask's centre": lambda study: study.middle,
}


def hashed(name: str) -> str:
    """SHA-256 of a patient's name: by its order the patients for development are told from the others."""
    return hashlib.sha256(name.encode()).hexdigest()


def main() -> None:
    torch.set_num_threads(1)
    studies = [read_study(case) for case in read_acdc(Path(sys.argv[1])) if case.part == "training"]
    by_hash = sorted(studies, key=lambda study: hashed(study.name))
    cohorts = {"chosen on": by_hash[:CHOSEN_ON], "not seen": by_hash[CHOSEN_ON:], "all": studies}
    print(f"{'rule':<20} {'patients':<10} {'n':>4} {'median':>7} {'90 %':>6} {'max':>6}  heart inside")
    for rule, place in RULES.items():
        for cohort, members in cohorts.items():
            print(f"{rule:<20} {cohort:<10} {line(members, place)}")


def read_study(case: Case) -> Study:
    ed, es = read_pair(case)
    pictures = [rescale(resample(frame.voxels, frame.spacing_mm, SPACING_MM), case.id) for frame in (ed, es)]
    masks = [resample_labels(read_mask(frame, ed), ed.spacing_mm, SPACING_MM) for frame in (case.ed, case.es)]
    heart = ((masks[0] > 0) | (masks[1] > 0)).nonzero()
    (low_X, low_Y, _), (high_X, high_Y, _) = heart.amin(0).tolist(), heart.amax(0).tolist()
    middle = mask_centre(masks[0] == case.mask_labels[2], case.id)
    return Study(case.id, pictures[0], pictures[1], middle, (low_X, low_Y), (high_X, high_Y))


def line(studies: Sequence[Study], place: Callable[[Study], Place]) -> str:
    found = [place(study) for study in studies]
    far = [np.hypot(x - study.middle[0], y - study.middle[1]) for (x, y), study in zip(found, studies, strict=True)]
    inside = sum(holds_heart(study, centre) for study, centre in zip(studies, found, strict=True))
    numbers = f"{np.median(far):7.1f} {np.percentile(far, 90):6.1f} {max(far):6.1f}"
    return f"{len(studies):4d} {numbers}  {inside} of {len(studies)}"


def holds_heart(study: Study, centre: Place) -> bool:
    windows = [window(centre[axis], study.ed.shape[axis], WINDOW) for axis in (0, 1)]
    return all(seen.start <= study.low[axis] and study.high[axis] < seen.stop for axis, seen in enumerate(windows))


if __name__ == "__main__":
    main()
