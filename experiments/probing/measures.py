"""What the reference masks say of a heart: volumes, ejection fractions, mass."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedcmr.data.cases import Case, Frame
from fedcmr.data.nifti import open_nifti, take_frame
from fedcmr.pretraining.targets import MEASURES, MUSCLE_G_PER_ML
from probing.frozen import side_by_side


def measures(case: Case) -> dict[str, float]:
    """ml, g and shares under the names of `targets.MEASURES`, counted on the masks' own grid.

    Raises: ValueError where the case has no masks.
    """
    (ed, voxel_ml), (es, _) = _labels(case, case.ed), _labels(case, case.es)
    right, muscle, left = case.mask_labels
    said = {"lv_mass": float((ed == muscle).sum()) * voxel_ml * MUSCLE_G_PER_ML}
    for name, label in (("lv", left), ("rv", right)):
        edv, esv = (float((frame == label).sum()) * voxel_ml for frame in (ed, es))
        said |= {f"{name}_edv": edv, f"{name}_esv": esv, f"{name}_ef": 1 - esv / edv if edv > 0 else math.nan}
    return {name: said[name] for name in MEASURES}


def measured(cases: Sequence[Case]) -> Mapping[str, NDArray[np.float64]]:
    """Case -> its seven measures, in the order of `targets.MEASURES`."""
    with side_by_side() as pool:
        rows = pool.map(lambda case: np.array([*measures(case).values()]), cases)
        return dict(zip([case.id for case in cases], rows, strict=True))


def _labels(case: Case, frame: Frame) -> tuple[Tensor, float]:
    """Labels as stored, and ml in a voxel."""
    if frame.mask is None:
        raise ValueError(f"Case {case.id}: no mask of {frame.image}; expected one. The probe needs reference masks.")
    picture = take_frame(open_nifti(frame.mask), frame.mask, frame.index, may_be_constant=True)
    return picture.voxels.round().to(torch.int16), math.prod(picture.spacing_mm) / 1000
