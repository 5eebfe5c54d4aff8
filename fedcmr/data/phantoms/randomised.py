"""Domain randomisation of the heart: bodies, volumes and shapes far wider than life, each number on its own.

A network that must read real hearts though it saw simulated ones alone should find reality inside what it has seen
(Billot et al., SynthSeg, Med Image Anal 86:102789, 2023, https://arxiv.org/abs/2107.09559). So size, function and mass
are drawn independently, that none can be guessed from another, and a group says only which pattern a wall has:
    NOR even · DCM short and round · HCM septal, concentric or apical · MINF one territory · ARV flattened septum
It is no diagnosis. All ranges are our choice; none was fitted to patients.
"""

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from fedcmr.data.phantoms.anatomy import TERRITORIES, Person, Targets
from fedcmr.data.phantoms.heart import Heart
from fedcmr.data.phantoms.thorax import Thorax, draw_thorax

# ml/m², %, g/m², ml/m², %
EDVI, EF, MASSI, RV_EDVI, RV_EF = (35, 200), (8, 80), (25, 150), (35, 200), (8, 75)
# g of muscle for each ml of cavity that the geometry carries as a wall of about 4 to 30 mm
MASS_PER_ML = (0.30, 3.0)
LARGEST_ML = 420.0
RV_PER_LV = (0.35, 2.6)
PATTERNS = {"HCM": ("septal", "concentric", "apical"), "MINF": TERRITORIES}


def draw_any_person(rng: np.random.Generator) -> Person:
    """A person of any build; sex, age, height and weight know nothing of one another."""
    height, bmi = rng.uniform(145, 200), rng.uniform(16.5, 38)
    sex, age = "MF"[rng.integers(2)], rng.uniform(18, 90)
    return Person(sex, round(age), round(height), round(bmi * (height / 100) ** 2))


def draw_any_targets(rng: np.random.Generator, group: str, person: Person) -> Targets:
    """Volumes, function and mass, independent but for what one geometry carries: muscle and right ventricle keep to a
    range of ratios to the left cavity.
    """
    area = person.bsa_m2
    edvi = min(_log_uniform(rng, *EDVI), LARGEST_ML / area)
    rv_edvi = _log_uniform(
        rng, max(RV_EDVI[0], RV_PER_LV[0] * edvi), min(RV_EDVI[1], RV_PER_LV[1] * edvi, LARGEST_ML / area)
    )
    massi = _log_uniform(rng, max(MASSI[0], MASS_PER_ML[0] * edvi), min(MASSI[1], MASS_PER_ML[1] * edvi))
    ef, rv_ef = rng.uniform(*EF) / 100, rng.uniform(*RV_EF) / 100
    severity, choice = rng.random(), rng.integers(3)
    return Targets(
        group=group,
        severity=0.0 if group == "NOR" else float(severity),
        pattern=PATTERNS[group][choice] if group in PATTERNS else "",
        edv_ml=edvi * area,
        ef=float(ef),
        mass_g=massi * area,
        rv_edv_ml=rv_edvi * area,
        rv_ef=float(rv_ef),
    )


def draw_any_shape(rng: np.random.Generator, targets: Targets) -> Heart:
    """Everything about a heart that no target fixes, wider than `solving.draw_shape`."""
    u, spread = rng.random(16), rng.standard_normal(8)
    length = 93 * (targets.edv_ml / 150) ** 0.30 * (0.85 + 0.32 * u[0])
    if targets.group == "DCM":
        length *= 1 - 0.2 * targets.severity
    flattening = 0.05 * abs(spread[0]) + (0.32 * targets.severity if targets.group == "ARV" else 0.0)
    wrapped = 0.25 * np.clip(targets.rv_edv_ml / targets.edv_ml - 1, -0.5, 1.2)
    texture = gaussian_filter(rng.standard_normal((24, 360)), (0.8, 2 + 5 * u[1]), mode=("nearest", "wrap"))
    return Heart(
        targets=targets,
        length_mm=float(length),
        descent_mm=float(np.clip(15 * targets.ef / 0.6 * (0.4 + 1.0 * u[2]), 1, 0.22 * length)),
        right_descent_mm=float(np.clip(22 * targets.rv_ef / 0.56 * (0.3 + 0.9 * u[3]), 1, 0.3 * length)),
        flattening=float(min(flattening, 0.4)),
        ripples=(
            (float(0.07 * spread[1]), float(2 * np.pi * u[4])),
            (float(0.035 * spread[2]), float(2 * np.pi * u[5])),
        ),
        insertions=(float(-0.95 - 0.45 * u[6] - wrapped), float(0.90 + 0.45 * u[7] + wrapped)),
        wall_waist=float(0.05 + 0.5 * u[8]),
        texture=np.clip(texture / texture.std(), 0, 2.2).astype(np.float32) / 2,
        papillary=(float(2.15 + 0.3 * spread[3]), float(-1.95 + 0.3 * spread[4])),
        lean=tuple(float(x) for x in rng.normal(0, (0.11, 0.11, 0.0011, 0.0011))),  # type: ignore[arg-type]
        triangle=float(0.95 * u[9]),
        fat_mm=float(0.5 + 12 * u[10] ** 1.5),
        atria=float(0.65 + 0.8 * u[11]),
        taper=float(1.7 + 1.6 * u[12]),
        right_reach=float(0.78 + 0.22 * u[13]),
    )


def draw_any_thorax(rng: np.random.Generator, person: Person) -> Thorax:
    """A trunk that fits the person, with the diaphragm at any height."""
    body = draw_thorax(rng, person)
    muscle, right, left = rng.random(3)
    return replace(
        body,
        muscle_mm=float(8 + 17 * muscle),
        right_dome_mm=float(-40 + 48 * right),
        left_dome_mm=float(-55 + 55 * left),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
