"""What a tissue looks like to a bSSFP scanner: relaxation times, steady-state signal, and the bands off resonance.

Relaxation times (T1, T2 in ms at 1.5 T and 3 T):
    blood, heart, liver, skeletal muscle, spinal cord    Stanisz et al., Magn Reson Med 54:507, 2005
    fat, spleen, bone marrow, kidney                     de Bazelaire et al., Radiology 230:652, 2004
Scar (slightly longer T1 than remote muscle, as chronic infarcts have without contrast agent), lung (a tenth to a
fifth of the protons of soft tissue), stomach content and all proton densities are our choice within what is usual.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FAT_SHIFT_HZ_PER_T = 147.0  # 3.45 ppm · 42.58 MHz/T


@dataclass(frozen=True)
class Tissue:
    """T1 and T2 in ms at (1.5 T, 3 T); proton density over water's, 0 to 1; `fat`: precesses as fat does."""

    t1_ms: tuple[float, float]
    t2_ms: tuple[float, float]
    density: float
    fat: bool = False


TISSUES: Mapping[str, Tissue] = {
    "air": Tissue((1000, 1000), (50, 50), 0.0),
    "lung": Tissue((1200, 1400), (35, 30), 0.14),
    "blood": Tissue((1441, 1932), (290, 275), 0.92),
    "myocardium": Tissue((1030, 1471), (40, 47), 0.85),
    "scar": Tissue((1150, 1600), (44, 50), 0.85),
    "muscle": Tissue((1008, 1412), (44, 50), 0.80),
    "fat": Tissue((343, 382), (58, 68), 0.90, fat=True),
    "liver": Tissue((576, 812), (46, 42), 0.80),
    "spleen": Tissue((1057, 1328), (79, 61), 0.85),
    "marrow": Tissue((549, 586), (49, 49), 0.55),
    "stomach": Tissue((1100, 1400), (110, 100), 0.75),
    "fluid": Tissue((4000, 4000), (1800, 1500), 1.0),
    "kidney": Tissue((966, 1142), (87, 76), 0.85),
    "bone": Tissue((800, 900), (5, 4), 0.12),
}


def steady_state(
    t1_ms: float, t2_ms: float, tr_ms: float, flip_deg: float, precession_rad: NDArray[np.float32] | float
) -> NDArray[np.float32]:
    """Magnitude of the balanced steady state at the echo, per unit of proton density.

    S = (1-E1) sin α √(1 + 2 E2 cos β + E2²) / (1 - E1 cos α - E2² (E1 - cos α) + E2 (1-E1)(1+cos α) cos β) ·
    exp(-TE/T2), TE = TR/2, with the radio-frequency phase alternating, so that β = 0 is the middle of the pass band
    and β = ±π the dark band.

    Args:
        precession_rad: β = 2π Δf TR, any shape.
    Returns S >= 0, of β's shape.
    Source: Freeman and Hill, J Magn Reson 4:366, 1971; the form after Hargreaves, J Magn Reson Imaging 36:1300, 2012.
    """
    alpha = np.deg2rad(flip_deg)
    e1, e2 = np.exp(-tr_ms / t1_ms), np.exp(-tr_ms / t2_ms)
    cos_beta = np.cos(precession_rad)
    above = (1 - e1) * np.sin(alpha) * np.sqrt(1 + 2 * e2 * cos_beta + e2**2)
    below = 1 - e1 * np.cos(alpha) - e2**2 * (e1 - np.cos(alpha)) + e2 * (1 - e1) * (1 + np.cos(alpha)) * cos_beta
    return np.asarray(above / below * np.exp(-tr_ms / 2 / t2_ms), dtype=np.float32)


def tissue_signals(field_t: float, tr_ms: float, flip_deg: float) -> dict[str, float]:
    """Signed signal of each tissue on resonance, blood = 1.

    Fat precesses 220 Hz (1.5 T) or 440 Hz (3 T) away. In each pass band that it lies beside water's its sign turns,
    and a voxel that holds both darkens: the black line around organs. The renderer adds signed signals, so the line
    draws itself.

    Args:
        field_t: 1.5 or 3.0. tr_ms: repetition time. flip_deg: flip angle.
    Returns tissue name -> signal.
    """
    column = 0 if field_t < 2 else 1
    signals = {}
    for name, tissue in TISSUES.items():
        cycles = FAT_SHIFT_HZ_PER_T * field_t * tr_ms / 1000 if tissue.fat else 0.0
        offset = cycles - round(cycles)
        sign = -1.0 if round(cycles) % 2 else 1.0
        # our choice: fat never falls fully into the dark band, its spectrum is broad
        beta = 2 * np.pi * float(np.clip(offset, -0.22, 0.22))
        shown = steady_state(tissue.t1_ms[column], tissue.t2_ms[column], tr_ms, flip_deg, beta)
        signals[name] = sign * tissue.density * float(shown)
    blood = signals["blood"]
    return {name: value / blood for name, value in signals.items()}


def banding(
    off_resonance_hz: NDArray[np.float32], field_t: float, tr_ms: float, flip_deg: float
) -> NDArray[np.float32]:
    """Muscle's signal off resonance over that on resonance: 1 in the pass band, about 0 in the dark. Shape as given."""
    column = 0 if field_t < 2 else 1
    muscle = TISSUES["muscle"]
    t1, t2 = muscle.t1_ms[column], muscle.t2_ms[column]
    profile = steady_state(t1, t2, tr_ms, flip_deg, 2 * np.pi * off_resonance_hz * np.float32(tr_ms / 1000))
    return profile / steady_state(t1, t2, tr_ms, flip_deg, 0.0)
