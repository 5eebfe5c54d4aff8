"""What masks ask of a backbone: shares of the heart's structures in coarse voxels, and its measures."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedcmr.data.masks import STRUCTURES
from fedcmr.data.measures import MUSCLE_G_PER_ML
from fedcmr.data.preparing import SPACING_MM

VIEW = "sax"
SHARES = "shares"
"""Of a batch: (B, C, L, X / 4, Y / 4, Z), see `class_shares`."""

COARSE = 4
"""Voxels along X and Y that make one coarse voxel, 4 mm (our choice: a patch of the backbone is not too rich in it)."""

CLASSES = 1 + len(STRUCTURES)
COARSE_ML = COARSE**2 * SPACING_MM[0] * SPACING_MM[1] * SPACING_MM[2] / 1000
LEAST_ML = 5.0

MEASURES: Mapping[str, tuple[float, float]] = {
    "lv_edv": (150.0, 65.0),
    "lv_esv": (80.0, 60.0),
    "lv_ef": (0.45, 0.20),
    "lv_mass": (110.0, 50.0),
    "rv_edv": (150.0, 65.0),
    "rv_esv": (85.0, 55.0),
    "rv_ef": (0.42, 0.19),
}
"""Name -> mean and standard deviation by which it is standardised: ml, g at ED, shares; round numbers, our choice."""


def class_shares(masks: Tensor) -> Tensor:
    """How much of each coarse voxel is background, right ventricle, myocardium, left ventricle.

    Args:
        masks: (C, X, Y, Z) labels of `masks.STRUCTURES`; X and Y multiples of `COARSE`.
    Returns (C, L=4, X / 4, Y / 4, Z) float32, sum 1 over L.
    """
    voxels = torch.stack([masks == label for label in STRUCTURES.values()], dim=1)
    # first along X, then along Y: three times faster than both at once
    rows = voxels.unflatten(2, (-1, COARSE)).sum(dim=3, dtype=torch.uint8)
    counts = rows.unflatten(3, (-1, COARSE)).sum(dim=4, dtype=torch.uint8)
    structures = counts.float() / COARSE**2
    return torch.cat([1 - structures.sum(dim=1, keepdim=True), structures], dim=1)


def measured(shares: Tensor) -> Tensor:
    """The seven measures of `MEASURES`, of what lies in the stack and standardised: (B, 7).

    Volumes are counted voxels, EF = 1 - ESV / EDV. Where EDV is below 5 ml, EF is NaN: there is no such ventricle.

    Args:
        shares: (B, C=2, L, X', Y', Z) of ED and ES, as `class_shares`.
    """
    ml_BCL = shares.sum(dim=(3, 4, 5)) * COARSE_ML
    rv, muscle, lv = (ml_BCL[:, :, label] for label in STRUCTURES.values())
    raw = [*_volumes(lv), muscle[:, 0] * MUSCLE_G_PER_ML, *_volumes(rv)]
    mean, deviation = torch.tensor(list(MEASURES.values()), device=shares.device).T
    return (torch.stack(raw, dim=1) - mean) / deviation


def _volumes(ml_BC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    edv, esv = ml_BC[:, 0], ml_BC[:, 1]
    return edv, esv, torch.where(edv < LEAST_ML, torch.nan, 1 - esv / edv)
