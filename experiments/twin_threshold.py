"""What separates two files of one study from two patients: correlations of fingerprints, and the threshold's margins.

    python experiments/twin_threshold.py DIR

Needs ACDC's training patients; two minutes on one core. Each study is stored anew as another challenge might have done:
resampled in plane by a factor of 0.85 to 1.3, cropped by up to 12 % at each side, up to one slice lost at either end,
intensities rescaled and rounded to int16, axes flipped or exchanged together with the affine. Seeded; no mask is read.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import torch

from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case, Frame
from fedcmr.data.nifti import read_pair
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.resampling import resample
from fedcmr.data.twins import THRESHOLD, VOLUME_RATIO, correlation, fingerprint, have_like_volumes
from fedcmr.data.volumes import Volumes

PERCENTILES = (0, 1, 5, 50, 95, 99, 99.9, 100)


def main() -> None:
    torch.set_num_threads(1)
    cases = [case for case in read_acdc(Path(sys.argv[1])) if case.part == "training"]
    with tempfile.TemporaryDirectory() as folder:
        volumes = Volumes(Preprocessing(), Path(folder) / "volumes")
        stored_anew = [store_anew(case, Path(folder), seed) for seed, case in enumerate(cases)]
        ones = [fingerprint(volumes[case]) for case in cases]
        others = [fingerprint(volumes[case]) for case in stored_anew]
    pairs = list(zip(ones, others, strict=True))
    same = [correlation(one, other) for one, other in pairs]
    ratios = [max(a.moving_ml, b.moving_ml) / min(a.moving_ml, b.moving_ml) for a, b in pairs]
    different = {
        (cases[i].id, cases[j].id): correlation(ones[i], ones[j])
        for j in range(len(cases))
        for i in range(j)
        if have_like_volumes(ones[i], ones[j])
    }
    real = {pair: r for pair, r in different.items() if r >= THRESHOLD}
    apart = [r for r in different.values() if r < THRESHOLD]
    for words, numbers in (("one study", same), ("two patients", apart), ("ratio of volumes, one study", ratios)):
        values = ", ".join(
            f"{p:g} %: {v:.3f}" for p, v in zip(PERCENTILES, np.percentile(numbers, PERCENTILES), strict=True)
        )
        print(f"{words} ({len(numbers)}): {values}")
    above, below = THRESHOLD - max(apart), min(same) - THRESHOLD
    print(f"threshold {THRESHOLD}: {above:.3f} above two patients, {below:.3f} below one study")
    print(f"volume ratio {VOLUME_RATIO}: {VOLUME_RATIO - max(ratios):.3f} above one study")
    print(f"found among the patients themselves: {real}")


def store_anew(case: Case, folder: Path, seed: int) -> Case:
    """A second file of each frame of a study, made different in all that storing may change."""
    random = np.random.default_rng(seed)
    pair = read_pair(case)
    old_mm = pair[0].spacing_mm
    factor = random.uniform(0.85, 1.3)
    new_mm = (old_mm[0] * factor, old_mm[1] * factor, old_mm[2])
    frames = [resample(picture.voxels, old_mm, new_mm).numpy() for picture in pair]
    margins = random.uniform(0, 0.12, size=4) * np.repeat(frames[0].shape[:2], 2)
    left, right, top, bottom = margins.astype(int)
    first, last = random.integers(0, 2, size=2)
    gain = random.uniform(200, 3000) / max(frame.max() for frame in frames)
    signs = random.choice((-1, 1), size=3)
    axes = (1, 0, 2) if random.random() < 0.5 else (0, 1, 2)
    X, Y, Z = frames[0].shape
    anew = []
    for name, frame in zip(("ed", "es"), frames, strict=True):
        cut = frame[left : X - right, top : Y - bottom, first : Z - last]
        image = nibabel.Nifti1Image(np.round(cut * gain).astype(np.int16), np.diag((*new_mm, 1.0)))
        file = folder / f"{case.id}_{name}.nii.gz"
        image.as_reoriented(np.column_stack([axes, signs])).to_filename(file)
        anew.append(Frame(file, None, None))
    return replace(case, id=f"{case.id} anew", ed=anew[0], es=anew[1], patient="")


if __name__ == "__main__":
    main()
