"""Masks of ED and ES on the grid of the prepared volume, with the same labels whatever the data set.

The window is the volume's own, found as its preprocessing says. Detection never comes here: see `volumes.py`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedcmr.data.cases import Case, listed
from fedcmr.data.nifti import read_mask
from fedcmr.data.preparing import SPACING_MM, Placed
from fedcmr.data.resampling import resample_labels

VERSION = 1  # of the numbers that prepare_masks() makes; part of every cache key
STRUCTURES: Mapping[str, int] = {"rv": 1, "myo": 2, "lv": 3}
"""Right ventricle, myocardium, left ventricle -> their label; 0 is everything else."""


def prepare_masks(case: Case, placed: Placed) -> Tensor:
    """Labels as `STRUCTURES`, (C=2, X <= 192, Y <= 192, Z) uint8, voxel by voxel those of the prepared volume.

    Raises: ValueError where a mask is missing or cannot be read, lies on another grid than its image, or has other
        values than the case names.
    """
    across, along = placed.window()
    labels = []
    for frame, picture in ((case.ed, placed.ed), (case.es, placed.es)):
        unified = _unified(read_mask(frame, picture), case)
        labels.append(resample_labels(unified, picture.spacing_mm, SPACING_MM)[across, along])
    return torch.stack(labels)


def _unified(stored: Tensor, case: Case) -> Tensor:
    unified, known = torch.zeros(stored.shape, dtype=torch.uint8), stored == 0
    for value, label in zip(case.mask_labels, STRUCTURES.values(), strict=True):
        here = stored == value
        unified[here] = label
        known |= here
    if not bool(known.all()):
        values = [str(value) for value in stored[~known].unique().tolist()]
        raise ValueError(
            f"Case {case.id}: its masks hold [{listed(values)}]; expected 0 and, for right ventricle, "
            f"myocardium and left ventricle, {case.mask_labels}. Correct the file."
        )
    return unified
