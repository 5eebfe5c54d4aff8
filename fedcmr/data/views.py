"""What an augmented view does to a volume: drawn here, all at once, and applied in `volumes.py`.

View v of a case is a function of (data.seed, case, v), whatever else is drawn before or after. By default nothing is
drawn. The kinds and ranges are those of CineMA's training (Fu et al., https://arxiv.org/abs/2506.00679).
"""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """How views beside the plain one are drawn; the defaults draw nothing. In CineMA each probability is 0.5.

    Args:
        contrast: probability in [0, 1] that x becomes x^gamma, gamma uniform in [gamma_low, gamma_high].
        noise: probability in [0, 1] of Gaussian noise; its standard deviation is uniform in [0, noise_std], of
            intensities in [0, 1].
        affine: probability in [0, 1] of turning in plane by up to ±rotate_deg, shifting by up to ±translate_mm along
            X and Y, and scaling both axes by one factor in 1 ± scale; zeros come in from outside. (CineMA scales one
            axis only, an oversight.)
    Raises: ValueError outside these ranges.
    """

    contrast: float = 0.0
    gamma_low: float = 0.5
    gamma_high: float = 1.5
    noise: float = 0.0
    noise_std: float = 0.05
    affine: float = 0.0
    rotate_deg: float = 180.0
    translate_mm: float = 60.0
    scale: float = 0.2

    def __post_init__(self) -> None:
        for name in ("contrast", "noise", "affine"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Augmentation: {name}={getattr(self, name)}; expected a probability in [0, 1].")
        if not (0 < self.gamma_low <= self.gamma_high and self.noise_std >= 0 and 0 <= self.scale < 1):
            raise ValueError(f"{self}: expected 0 < gamma_low <= gamma_high, noise_std >= 0 and scale in [0, 1).")

    @property
    def is_none(self) -> bool:
        return self.contrast == self.noise == self.affine == 0


@dataclass(frozen=True)
class Drawn:
    """What one view does; the defaults do nothing.

    Args:
        gamma: exponent of the contrast. noise_std: in units of intensity. noise_seed: of the noise's voxels.
        turn: in plane, radians. across_mm, along_mm: shift along X and Y. zoom: factor of both axes.
    """

    gamma: float = 1.0
    noise_std: float = 0.0
    noise_seed: int = 0
    turn: float = 0.0
    across_mm: float = 0.0
    along_mm: float = 0.0
    zoom: float = 1.0


def draw(case_id: str, view: int, seed: int, knobs: Augmentation) -> Drawn:
    """All that is random about a view. Each draw is made whether or not it is used, so no knob disturbs another."""
    random = np.random.default_rng(int(hashlib.sha256(f"{seed}|{case_id}|{view}".encode()).hexdigest()[:16], 16))
    happens = random.uniform(size=3) < (knobs.contrast, knobs.noise, knobs.affine)
    gamma = random.uniform(knobs.gamma_low, knobs.gamma_high)
    noise_std = random.uniform(0, knobs.noise_std)
    noise_seed = int(random.integers(2**31))
    turn, across_mm, along_mm, zoom = random.uniform(-1, 1, size=4)
    moved = Drawn(
        turn=float(np.deg2rad(knobs.rotate_deg) * turn),
        across_mm=float(knobs.translate_mm * across_mm),
        along_mm=float(knobs.translate_mm * along_mm),
        zoom=float(1 + knobs.scale * zoom),
    )
    still = moved if happens[2] else Drawn()
    return Drawn(
        gamma if happens[0] else 1.0,
        noise_std if happens[1] else 0.0,
        noise_seed,
        still.turn,
        still.across_mm,
        still.along_mm,
        still.zoom,
    )
