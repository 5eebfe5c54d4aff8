"""From wished volumes to a heart that has them: each scale of the geometry follows from one target."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter

from fedcmr.data.measures import MUSCLE_G_PER_ML
from fedcmr.data.phantoms.anatomy import Targets
from fedcmr.data.phantoms.heart import Heart


def build_heart(rng: np.random.Generator, targets: Targets) -> Heart:
    """A heart with the targets' volumes, mass and ejection fractions, its remaining shape drawn.

    Scales are found one after the other (cavity, wall, contraction, right ventricle at both phases), each by
    bisection on the volume that it alone moves. A target that the geometry cannot reach is met as nearly as
    possible; `Heart.truth` is measured on the result.

    Args:
        rng: consumed in a fixed order.
    """
    return solve(draw_shape(rng, targets))


def solve(heart: Heart) -> Heart:
    """A heart of this shape with its targets' volumes, found as in `build_heart`."""
    targets = heart.targets
    heart = replace(
        heart, radius_mm=root(lambda x: replace(heart, radius_mm=x).volumes_ml(0)[0], targets.edv_ml, 8, 60)
    )
    muscle_ml = targets.mass_g / MUSCLE_G_PER_ML
    heart = replace(heart, wall_mm=root(lambda x: replace(heart, wall_mm=x).volumes_ml(0)[1], muscle_ml, 2, 30))
    esv_ml = targets.edv_ml * (1 - targets.ef)
    # a larger c empties more, so the sign turns
    contraction = root(lambda x: -replace(heart, contraction=x).volumes_ml(1)[0], -esv_ml, -0.1, 0.85)
    heart = replace(heart, contraction=contraction)
    first = root(lambda x: replace(heart, right_mm=(x, x)).volumes_ml(0)[2], targets.rv_edv_ml, 2, 120)
    rv_esv_ml = targets.rv_edv_ml * (1 - targets.rv_ef)
    last = root(lambda x: replace(heart, right_mm=(x, x)).volumes_ml(1)[2], rv_esv_ml, 1, 120)
    return replace(heart, right_mm=(first, last))


def draw_shape(rng: np.random.Generator, targets: Targets) -> Heart:
    """Everything about a heart that no target fixes.

    The rings come down in proportion to the ejection fractions: 15 mm (left) and 22 mm (right) in health, our choice.
    """
    spread = rng.standard_normal(16)
    length = 93 * (targets.edv_ml / 150) ** 0.30 * (1 + 0.035 * spread[0])
    if targets.group == "DCM":
        length *= 1 - 0.05 * targets.severity
    flattening = 0.03 + 0.025 * abs(spread[1])
    if targets.group == "ARV":
        flattening += 0.24 * targets.severity
    wide = 0.12 * np.clip(targets.rv_edv_ml / 170 - 1, -0.5, 1)
    texture = gaussian_filter(rng.standard_normal((24, 360)), (0.8, 3.5), mode=("nearest", "wrap"))
    return Heart(
        targets=targets,
        length_mm=float(length),
        descent_mm=float(np.clip(15 * targets.ef / 0.6 * (1 + 0.1 * spread[2]), 2.5, 19)),
        right_descent_mm=float(np.clip(22 * targets.rv_ef / 0.56 * (1 + 0.1 * spread[3]), 5, 29)),
        flattening=float(flattening),
        ripples=((0.03 * spread[4], 2 * spread[5]), (0.018 * spread[6], 2 * spread[7])),
        insertions=(float(-1.16 - wide + 0.06 * spread[8]), float(1.10 + wide + 0.06 * spread[9])),
        wall_waist=float(np.clip(0.32 + 0.06 * spread[10], 0.15, 0.5)),
        texture=np.clip(texture / texture.std(), 0, 2.2).astype(np.float32) / 2,
        papillary=(float(2.15 + 0.15 * spread[11]), float(-1.95 + 0.15 * spread[12])),
        lean=tuple(float(x) for x in rng.normal(0, (0.07, 0.07, 0.0007, 0.0007))),  # type: ignore[arg-type]
        triangle=float(np.clip(0.62 + 0.16 * spread[15], 0.1, 0.9)),
        fat_mm=float(np.clip(5.5 + 2 * spread[13], 2, 11)),
        atria=float(np.clip(1 + 0.1 * spread[14], 0.75, 1.35)),
    )


def root(measure: Callable[[float], float], wish: float, low: float, high: float) -> float:
    """Where an increasing `measure` meets `wish` in [low, high], to a thousandth; the nearer end where it does not."""
    below, above = measure(low) - wish, measure(high) - wish
    if below >= 0:
        return low
    if above <= 0:
        return high
    for step in range(30):
        middle = 0.5 * (low + high) if step % 3 == 2 else low - below * (high - low) / (above - below)
        value = measure(middle) - wish
        if abs(value) < 1e-3 * abs(wish):
            return float(middle)
        low, below, high, above = (middle, value, high, above) if value < 0 else (low, below, middle, value)
    return float(0.5 * (low + high))
