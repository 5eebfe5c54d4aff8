"""A picture for the eye of a cardiologist: vendors x diagnoses, at end-diastole and end-systole, basal, middle and
apical.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from numpy.typing import NDArray

from fedcmr.data.cases import Case, Frame
from fedcmr.data.nifti import take_frame
from fedcmr.data.unpacking import open_frame

WINDOW_MM = 170.0
LEVELS = (("base", 0.25), ("middle", 0.5), ("apex", 0.85))


def draw_montage(file: Path, rows: Mapping[str, Sequence[Case]], groups: Sequence[str]) -> None:
    """Writes one PNG: three lines (base, middle, apex) per row, two pictures (ED, ES) per group.

    Args:
        rows: title -> cases; of each group the first case is drawn, an empty place where there is none.
        groups: diagnoses, from left to right; "ARV" also stands for ACDC's "RV".
    The masks choose centre and slices, so cases without a mask cannot be drawn.
    """
    lines, columns = len(rows) * len(LEVELS), 2 * len(groups)
    figure, axes = plt.subplots(lines, columns, figsize=(1.75 * columns, 1.75 * lines), squeeze=False)
    for axis in axes.ravel():
        axis.axis("off")
    for i, (title, cases) in enumerate(rows.items()):
        for j, group in enumerate(groups):
            case = next((c for c in cases if c.group == group or (group, c.group) == ("ARV", "RV")), None)
            if case is None:
                continue
            for k, frame in enumerate((case.ed, case.es)):
                for level, picture in enumerate(_pictures(case, frame)):
                    axis = axes[len(LEVELS) * i + level][2 * j + k]
                    axis.imshow(picture.T, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
                    words = f"{title} {case.group} {'ES' if k else 'ED'}, {LEVELS[level][0]}"
                    axis.text(0.03, 0.97, words, color="white", fontsize=6, va="top", transform=axis.transAxes)
    figure.subplots_adjust(0.002, 0.002, 0.998, 0.998, 0.02, 0.02)
    figure.savefig(file, dpi=80)
    plt.close(figure)


def _pictures(case: Case, frame: Frame) -> list[NDArray[np.float32]]:
    """Basal, middle and apical slice of one frame, cut to WINDOW_MM around the left ventricle, scaled to [0, 1]."""
    if frame.mask is None:
        raise ValueError(f"Case {case.id}: no mask; the montage needs one to find the heart. Choose labelled patients.")
    image, step_mm = _volume(frame.image, frame.index)
    mask, _ = _volume(frame.mask, frame.index)
    # the left ventricle at end-diastole chooses the slices of both frames, so that the base can be seen to come down
    reference, _ = _volume(case.ed.mask or frame.mask, case.ed.index)
    levels = np.flatnonzero((reference == case.mask_labels[2]).any((0, 1)))
    if _base_is_last(reference, case.mask_labels):
        levels = levels[::-1]
    where = np.argwhere(mask == case.mask_labels[2])[:, :2].mean(0)
    half = round(0.5 * WINDOW_MM / step_mm)
    padded = np.pad(image, ((half, half), (half, half), (0, 0)))
    x, y = (round(float(c)) for c in where)
    low, high = np.quantile(image, (0.01, 0.995))
    shown = np.clip((padded[x : x + 2 * half, y : y + 2 * half] - low) / (high - low), 0, 1)
    return [shown[..., levels[round(share * (len(levels) - 1))]] for _, share in LEVELS]


def _base_is_last(mask: NDArray[np.float32], labels: tuple[int, int, int]) -> bool:
    # cavities are wide at the base and end in a point at the apex
    area = ((mask == labels[0]) | (mask == labels[2])).sum((0, 1))
    levels = np.flatnonzero(area)
    return bool((area[levels] * levels).sum() / area.sum() > levels.mean())


def _volume(file: Path, index: int | None) -> tuple[NDArray[np.float32], float]:
    picture = take_frame(open_frame(file, index), file, index, may_be_constant=True)
    return picture.voxels.numpy(), picture.spacing_mm[0]
