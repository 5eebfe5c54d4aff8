"""Seconds to prepare a patient: fedcmr cold and warm, beside a plain MONAI pipeline on the same files.

MONAI's is what its tutorials show: LoadImage, EnsureChannelFirst, Spacing on the whole cine; ED and ES are taken from
the result. It neither finds the heart nor keeps anything.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel
import numpy as np
from scipy.ndimage import gaussian_filter

from fedcmr.data.cases import Case, Frame
from fedcmr.data.preparing import SPACING_MM, Preprocessing
from fedcmr.data.volumes import Volumes
from fedcmr.models.threads import one_thread

CINE = (256, 216, 10, 30)
STORED_MM = (1.4, 1.4, 10.0)
PATIENTS = 10
ED, ES = 0, 11


@dataclass(frozen=True)
class Reading:
    """Seconds for all patients on one thread, processor time.

    Args:
        patients: how many. cold: fedcmr with an empty cache, the heart found and the volume kept.
        warm: with a full one. monai: see the module.
    """

    patients: int
    cold: float
    warm: float
    monai: float


def reading(patients: int = PATIENTS, cine: tuple[int, int, int, int] = CINE) -> Reading:
    """Makes the files, then times the three, cold and MONAI in turns of one patient."""
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Spacing

    plain = Compose(
        [LoadImage(image_only=True), EnsureChannelFirst(channel_dim=-1), Spacing(SPACING_MM, mode="bilinear")]
    )
    with tempfile.TemporaryDirectory(prefix="fedcmr-bench-") as name, one_thread():
        cases = make(Path(name), patients, cine)
        volumes = Volumes(Preprocessing(), Path(name) / "cache")
        plain(cases[0].ed.image)  # not counted: what either makes once, at its first file
        Volumes(Preprocessing(), Path(name) / "other").prepare(cases[:1])
        cold = monai = 0.0
        for case in cases:
            cold += spent(partial(volumes.prepare, [case]))
            monai += spent(partial(plain, case.ed.image))
        return Reading(patients, cold, spent(partial(volumes.prepare, cases)), monai)


def make(folder: Path, patients: int, cine: tuple[int, int, int, int]) -> Sequence[Case]:
    """Smooth noise that changes from frame to frame, int16, compressed as scanners' exports are."""
    cases = []
    for index in range(patients):
        random = np.random.default_rng(index)
        still = gaussian_filter(random.random(cine[:3]), (6, 6, 1))
        still = 800 * (still - still.min()) / np.ptp(still)
        frames = [still * (1 + 0.1 * np.sin(at / 5)) + random.normal(0, 8, cine[:3]) for at in range(cine[3])]
        image = nibabel.Nifti1Image(np.stack(frames, axis=-1).clip(0).astype(np.int16), np.diag((*STORED_MM, 1)))
        image.to_filename(file := folder / f"{index}.nii.gz")
        ed, es = (Frame(file, None, at) for at in (ED, ES))
        cases.append(Case(str(index), "vendorA", "NOR", ed, es, "training", (1, 2, 3), "made"))
    return cases


def spent(work: Callable[[], object]) -> float:
    """Processor seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began
