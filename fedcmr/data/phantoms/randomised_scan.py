"""Domain randomisation of the scan: contrast, blur, noise, bias, artefacts and background far beyond realism.

Real scanners lie inside these ranges; no vendor's profile is drawn from, and vendors A to D are all alike here. After
Billot et al., SynthSeg, Med Image Anal 86:102789, 2023, https://arxiv.org/abs/2107.09559; ranges are our choice.
"""

import numpy as np

from fedcmr.data.phantoms.look import Look, Solid
from fedcmr.data.phantoms.planes import ORIGIN_MM
from fedcmr.data.phantoms.scanner import CENTRES, Acquisition, Profile, even
from fedcmr.data.phantoms.tissues import TISSUES, tissue_signals

PHYSICAL_SHARE = 0.6  # of patients whose contrast is bSSFP's, each tissue off by up to JITTER
JITTER = 0.3
LEAST_CONTRAST = 0.15  # between blood and muscle, of the brighter
BRIGHT_BLOOD_SHARE = 0.7
ANY_TURN_SHARE = 0.3  # of images turned any way; the others lie about as scanners store them
TURN_DEG = (-15.0, 40.0)  # mean and SD of those others
MIRRORED_SHARE = 0.2
LARGEST_SHIFT_MM = 4.0
POSE = 0.2  # SD of the heart's directions in the chest
# tissues that may happen to look like the heart's muscle, and like its blood
MUSCLE_LIKE = ("muscle", "liver", "spleen", "kidney", "stomach", "lung")
BLOOD_LIKE = ("fat", "fluid", "liver", "stomach", "marrow")


def draw_any_acquisition(rng: np.random.Generator, vendor: str, length_mm: float, largest: int) -> Acquisition:
    """One patient's scan by any scanner.

    Args:
        rng: consumed in a fixed order. vendor: decides the centre's name alone.
        length_mm: of the left ventricle; the stack begins 24 mm above to 6 mm below the mitral ring and ends 12 mm
            above to 28 mm below the apex.
        largest: most rows or columns of the stored matrix.
    """
    profile = _draw_profile(rng)
    top, bottom = rng.uniform(-24, 6), rng.uniform(-12, 28)
    slices = int(np.clip(round((length_mm + bottom - top) / profile.spacing_mm) + 1, 6, 32))
    rows = even(profile.field_mm / profile.pixel_mm, largest)
    columns = even(profile.field_mm * profile.field_ratio / profile.pixel_mm, largest)
    room = max(0.5 * min(rows, columns) * profile.pixel_mm - 50, 0)
    distance, angle = min(55 * rng.random() ** 1.5, room), rng.uniform(0, 2 * np.pi)
    misregistered = max(rng.uniform(-1, 2), 0)
    shifts = np.clip(rng.normal(0, misregistered, (slices, 2)), -LARGEST_SHIFT_MM, LARGEST_SHIFT_MM)
    at_3t, mirrored, base_first, systole, rate, centre = rng.random(6)
    return Acquisition(
        vendor=vendor,
        profile=profile,
        field_t=3.0 if at_3t < profile.at_3t else 1.5,
        shape=(rows, columns, slices),
        first_slice_mm=float(top),
        offset_mm=(float(distance * np.cos(angle)), float(distance * np.sin(angle))),
        es_share=float(0.28 + 0.2 * systole),
        heart_rate=float(round(45 + 55 * rate)),
        centre=CENTRES[vendor][int(centre * len(CENTRES[vendor]))],
        shifts_mm=tuple((float(x), float(y)) for x, y in shifts),
        mirrored=bool(mirrored < MIRRORED_SHARE),
        base_first=bool(base_first < 0.5),
    )


def _draw_profile(rng: np.random.Generator) -> Profile:
    thick = rng.random() < 0.75
    spacing = rng.uniform(8, 11) if thick else rng.uniform(5, 8)
    return Profile(
        at_3t=0.4,
        tr_ms=rng.uniform(2.5, 4.4),
        flip_deg=rng.uniform(30, 80),
        pixel_mm=rng.uniform(1.1, 2.0),
        field_mm=rng.uniform(215, 330),
        field_ratio=rng.uniform(0.72, 1.0),
        spacing_mm=spacing,
        gap_mm=rng.uniform(0, 0.28) * spacing,
        acquired=rng.uniform(0.5, 1.0),
        noise=0.004 + 0.11 * rng.random() ** 2,
        shading=1.5 * rng.random() ** 1.5,
        inhomogeneity_hz=rng.uniform(0, 50),
        ghosting=0.07 * rng.random() ** 2,
        filter=rng.uniform(0, 1),
        turn_deg=rng.uniform(-180, 180) if rng.random() < ANY_TURN_SHARE else rng.normal(*TURN_DEG),
        maximum=float(np.exp(rng.uniform(np.log(90), np.log(900)))),
        gamma=float(np.exp(rng.uniform(np.log(0.6), np.log(1.6)))),
    )


def draw_any_look(rng: np.random.Generator, scan: Acquisition) -> Look:
    """Contrast and textures of one patient. `rng` is consumed in an order that its own numbers decide."""
    signals = _near_physics(rng, scan) if rng.random() < PHYSICAL_SHARE else _any_signals(rng)
    return Look(
        signals=signals,
        grain={name: float(4 * rng.random() ** 2) for name in TISSUES},
        flow=float(0.35 * rng.random() ** 1.5),
        right_blood=float(rng.uniform(0.75, 1.25)),
        papillary=float(rng.uniform(0.2, 1.4)),
        trabeculae=float(rng.uniform(0.2, 3.0)),
        right_wall=float(rng.uniform(0.5, 2.2)),
        effusion_mm=float(max(rng.uniform(-40, 10), 0)),
        above_mm=tuple((float(x), float(y)) for x, y in rng.normal(0, 5, (4, 2))),
        clutter=tuple(_draw_solid(rng) for _ in range(int(rng.integers(0, 5)))),
    )


def _near_physics(rng: np.random.Generator, scan: Acquisition) -> dict[str, float]:
    known = tissue_signals(scan.field_t, scan.profile.tr_ms, scan.profile.flip_deg)
    return {name: signal * float(rng.uniform(1 - JITTER, 1 + JITTER)) for name, signal in known.items()}


def _any_signals(rng: np.random.Generator) -> dict[str, float]:
    signals = {name: float(rng.uniform(0.03, 1.3)) for name in TISSUES}
    bright = float(rng.uniform(0.45, 1.3))
    dark = max(bright * (1 - float(rng.uniform(LEAST_CONTRAST, 0.97))), 0.03)
    blood_is_bright = rng.random() < BRIGHT_BLOOD_SHARE
    signals["blood"], signals["myocardium"] = (bright, dark) if blood_is_bright else (dark, bright)
    signals["scar"] = signals["myocardium"] * float(rng.uniform(0.7, 1.5))
    if rng.random() < 0.6:
        signals["lung"] *= 0.25  # as often as not the lung is the dark of the picture, as it is in life
    for like, names in (("myocardium", MUSCLE_LIKE), ("blood", BLOOD_LIKE)):
        for name in names:
            if rng.random() < 0.25:
                signals[name] = signals[like] * float(rng.uniform(0.9, 1.1))
    if rng.random() < 0.5:
        signals["fat"] *= -1  # opposed to water: black lines around organs
    return signals


def _draw_solid(rng: np.random.Generator) -> Solid:
    # beside the heart, which is painted over whatever lies in its place
    turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(50, 130)
    x, y, z = ORIGIN_MM + np.array([away * np.cos(turn), away * np.sin(turn), rng.uniform(-60, 60)])
    half = rng.uniform(8, 45, 3)
    return Solid(
        (float(x), float(y), float(z)), (float(half[0]), float(half[1]), float(half[2])), float(rng.uniform(0.0, 1.3))
    )
