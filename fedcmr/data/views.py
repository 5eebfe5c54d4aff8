"""What an augmented view does to a volume: drawn here, all at once, and done in `applying.py`.

View v of a case is a function of (data.seed, case, v), whatever else is drawn before or after. By default nothing is
drawn. Contrast, noise and affine are CineMA's (Fu et al., https://arxiv.org/abs/2506.00679); the other kinds and their
ranges are our choice, after SynthSeg (Billot et al., https://arxiv.org/abs/2107.09559).
"""

import hashlib
from dataclasses import dataclass

import numpy as np

KINDS = ("contrast", "noise", "affine", "bias", "blur", "mirror", "upend")


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
        bias: probability in [0, 1] that x is multiplied by exp(s f), f a smooth field in [-1, 1], s uniform in
            [0, bias_strength], and the whole then by what keeps the greatest value.
        blur: probability in [0, 1] of a Gaussian blur in plane, its standard deviation uniform in
            [blur_low_mm, blur_high_mm].
        mirror: probability in [0, 1] that X is reversed.
        upend: probability in [0, 1] that the order of the slices is reversed; those that fill up stay last.
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
    bias: float = 0.0
    bias_strength: float = 0.6
    blur: float = 0.0
    blur_low_mm: float = 0.4
    blur_high_mm: float = 2.0
    mirror: float = 0.0
    upend: float = 0.0

    def __post_init__(self) -> None:
        for name in KINDS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Augmentation: {name}={getattr(self, name)}; expected a probability in [0, 1].")
        if not (0 < self.gamma_low <= self.gamma_high and self.noise_std >= 0 and 0 <= self.scale < 1):
            raise ValueError(f"{self}: expected 0 < gamma_low <= gamma_high, noise_std >= 0 and scale in [0, 1).")
        if not (0 < self.blur_low_mm <= self.blur_high_mm and self.bias_strength >= 0):
            raise ValueError(f"{self}: expected 0 < blur_low_mm <= blur_high_mm and bias_strength >= 0.")

    @property
    def is_none(self) -> bool:
        return not any(getattr(self, name) for name in KINDS)


@dataclass(frozen=True)
class Drawn:
    """What one view does; the defaults do nothing.

    Args:
        gamma: exponent of the contrast. noise_std: in units of intensity. noise_seed: of the noise's voxels.
        turn: in plane, radians. across_mm, along_mm: shift along X and Y. zoom: factor of both axes.
        bias: strength of the field. bias_seed: of the field. blur_mm: standard deviation in plane.
        mirror: X reversed. upend: slices reversed.
    """

    gamma: float = 1.0
    noise_std: float = 0.0
    noise_seed: int = 0
    turn: float = 0.0
    across_mm: float = 0.0
    along_mm: float = 0.0
    zoom: float = 1.0
    bias: float = 0.0
    bias_seed: int = 0
    blur_mm: float = 0.0
    mirror: bool = False
    upend: bool = False


def draw(case_id: str, view: int, seed: int, knobs: Augmentation) -> Drawn:
    """All that is random about a view. Each draw is made whether or not it is used, so no knob disturbs another."""
    random = np.random.default_rng(int(hashlib.sha256(f"{seed}|{case_id}|{view}".encode()).hexdigest()[:16], 16))
    contrast, noise, affine = random.uniform(size=3) < (knobs.contrast, knobs.noise, knobs.affine)
    gamma = random.uniform(knobs.gamma_low, knobs.gamma_high)
    noise_std = random.uniform(0, knobs.noise_std)
    noise_seed = int(random.integers(2**31))
    turn, across_mm, along_mm, zoom = random.uniform(-1, 1, size=4)
    # later kinds are drawn after the earlier ones, whose numbers so stay what they were
    bias, blur, mirror, upend = random.uniform(size=4) < (knobs.bias, knobs.blur, knobs.mirror, knobs.upend)
    strength, sigma = random.uniform(0, knobs.bias_strength), random.uniform(knobs.blur_low_mm, knobs.blur_high_mm)
    return Drawn(
        gamma=gamma if contrast else 1.0,
        noise_std=noise_std if noise else 0.0,
        noise_seed=noise_seed,
        turn=float(np.deg2rad(knobs.rotate_deg) * turn) if affine else 0.0,
        across_mm=float(knobs.translate_mm * across_mm) if affine else 0.0,
        along_mm=float(knobs.translate_mm * along_mm) if affine else 0.0,
        zoom=float(1 + knobs.scale * zoom) if affine else 1.0,
        bias=strength if bias else 0.0,
        bias_seed=int(random.integers(2**31)),
        blur_mm=sigma if blur else 0.0,
        mirror=bool(mirror),
        upend=bool(upend),
    )
