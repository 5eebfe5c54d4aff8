"""Four scanner vendors, and how one of their scanners takes one patient.

Each number of an acquisition is drawn around its vendor's mean; the vendors' means lie around one common mean, and
`acquisition_shift` says how far: common + shift · (vendor - common). 0 makes the vendors equal, 1 makes them differ
as below. The spread inside a vendor stays as it is, and nothing here depends on who is imaged.

Which way the vendors differ follows what M&Ms images show: 1.5 T and 3 T, sharper or softer, surface-coil shading more
or less corrected, stored maxima that lie a factor of ten apart. How far is our choice. To keep a cohort below 1 GB the
pixels are a little coarser (about 1.6 mm, as ACDC's), the field of view smaller and the stored maxima lower than usual.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np

VENDOR_NAMES: Mapping[str, str] = {"A": "Siemens", "B": "Philips", "C": "GE", "D": "Canon"}
CENTRES: Mapping[str, tuple[str, ...]] = {"A": ("1", "6"), "B": ("2", "3"), "C": ("4",), "D": ("5",)}


@dataclass(frozen=True)
class Profile:
    """Means of one vendor.

    Args:
        at_3t: share of patients at 3 T, 0 to 1.
        tr_ms, flip_deg: repetition time and flip angle of the bSSFP cine.
        pixel_mm, field_mm, field_ratio: stored pixel, longer side of the field of view, shorter over longer.
        spacing_mm, gap_mm: from slice to slice, and how much of it is not excited.
        acquired: share of the stored k-space that was measured; the rest is zero-filled.
        noise: SD of the noise over the blood signal at the heart.
        shading: how much of the coils' sensitivity is left in the image, 0 (corrected) to 1.
        inhomogeneity_hz: SD of the field over the body at 1.5 T; twice that at 3 T.
        ghosting: amplitude of the ghosts along the phase-encoding axis, relative to the image.
        filter: roll-off of k-space, 0 (none, ringing) to 1 (soft).
        turn_deg: rotation of the image in its plane. maximum: largest stored intensity.
        gamma: display curve of the reconstruction; 1 is linear.
    """

    at_3t: float
    tr_ms: float
    flip_deg: float
    pixel_mm: float
    field_mm: float
    field_ratio: float
    spacing_mm: float
    gap_mm: float
    acquired: float
    noise: float
    shading: float
    inhomogeneity_hz: float
    ghosting: float
    filter: float
    turn_deg: float
    maximum: float
    gamma: float


PROFILES: Mapping[str, Profile] = {
    "A": Profile(0.10, 2.9, 62, 1.58, 282, 0.78, 9.9, 1.6, 0.76, 0.012, 0.55, 20, 0.008, 0.55, -14, 190, 1.00),
    "B": Profile(0.30, 3.0, 55, 1.48, 275, 0.80, 10.0, 0.4, 0.70, 0.016, 0.32, 26, 0.012, 0.75, -4, 140, 1.05),
    "C": Profile(0.75, 3.6, 48, 1.70, 298, 0.84, 9.9, 1.0, 0.90, 0.025, 0.80, 34, 0.020, 0.30, -38, 320, 0.97),
    "D": Profile(0.15, 3.9, 66, 1.64, 288, 0.82, 9.6, 0.8, 0.64, 0.021, 0.45, 28, 0.024, 0.90, 12, 230, 1.08),
}
# SD between the patients of one vendor, and between two draws of the same vendor (as a share of it)
SPREAD = Profile(0.0, 0.15, 4, 0.06, 12, 0.035, 0.35, 0.2, 0.05, 0.004, 0.10, 5, 0.005, 0.10, 9, 0.22, 0.015)
VENDOR_DRAW = 0.4
LIMITS = (
    Profile(0, 2.5, 35, 1.1, 250, 0.70, 8.0, 0.0, 0.50, 0.006, 0.1, 8, 0.0, 0.0, -80, 70, 0.90),
    Profile(1, 4.4, 80, 1.9, 390, 1.0, 10.5, 2.5, 0.95, 0.07, 1.3, 55, 0.06, 1.0, 80, 12000, 1.15),
)


@dataclass(frozen=True)
class Acquisition:
    """One patient's scan: the drawn `profile` and what follows from it.

    Args:
        field_t: 1.5 or 3.0. shape: rows and columns and slices stored, (X, Y, Z); x is the frequency, y the phase
            axis.
        first_slice_mm: height of the most basal slice over the mitral ring at end-diastole.
        offset_mm: from the image centre to the LV axis, along x and y.
        es_frame: end-systolic frame of a cine of `frames`; heart_rate: beats per minute.
        centre: hospital, as in M&Ms.
        shifts_mm: of each slice along x and y, from apex to base, where breath was held otherwise; empty for none.
        mirrored: x is stored backwards. base_first: slices are stored from base to apex.
    """

    vendor: str
    profile: Profile
    field_t: float
    shape: tuple[int, int, int]
    first_slice_mm: float
    offset_mm: tuple[float, float]
    es_share: float
    heart_rate: float
    centre: str
    shifts_mm: tuple[tuple[float, float], ...] = ()
    mirrored: bool = False
    base_first: bool = False

    @property
    def thickness_mm(self) -> float:
        """Excited slice."""
        return self.profile.spacing_mm - self.profile.gap_mm


def common_profile() -> Profile:
    """The mean of the four vendors; of `maximum` the geometric mean."""
    names = [field.name for field in fields(Profile)]
    means = {name: float(np.mean([getattr(p, name) for p in PROFILES.values()])) for name in names}
    means["maximum"] = float(np.exp(np.mean([np.log(p.maximum) for p in PROFILES.values()])))
    return Profile(**means)


def draw_vendor(rng: np.random.Generator, vendor: str, shift: float) -> Profile:
    """The means that one vendor has in one cohort.

    Args:
        rng: one draw for each number, whatever the shift. vendor: "A" to "D". shift: acquisition shift, >= 0.
    At shift 0 every vendor gets the common mean exactly: a drawn difference would be a shift too.
    """
    common, own = common_profile(), PROFILES[vendor]
    drawn = {}
    for field in fields(Profile):
        name, chance = field.name, rng.standard_normal()
        middle, wish = getattr(common, name), getattr(own, name)
        wobble = VENDOR_DRAW * getattr(SPREAD, name) * chance
        if name == "maximum":
            drawn[name] = float(middle * np.exp(shift * (np.log(wish / middle) + wobble)))
        else:
            drawn[name] = float(middle + shift * (wish - middle + wobble))
    return limited(Profile(**drawn))


def limited(profile: Profile) -> Profile:
    """The profile inside what a scanner can do (`LIMITS`)."""
    low, high = LIMITS
    return Profile(
        **{
            f.name: float(np.clip(getattr(profile, f.name), getattr(low, f.name), getattr(high, f.name)))
            for f in fields(Profile)
        }
    )


def draw_acquisition(rng: np.random.Generator, vendor: str, mean: Profile, largest: int) -> Acquisition:
    """One patient's scan around the vendor's mean; nothing of it, not even coverage or centring, knows the patient.

    Args:
        rng: consumed in a fixed order. mean: from `draw_vendor`. largest: most rows or columns of the stored matrix.
    """
    drawn = {}
    for field in fields(Profile):
        name, chance = field.name, rng.standard_normal()
        spread = getattr(SPREAD, name)
        value = getattr(mean, name)
        drawn[name] = float(value * np.exp(spread * chance)) if name == "maximum" else float(value + spread * chance)
    profile = limited(Profile(**drawn))
    at_3t = rng.random() < mean.at_3t
    coverage, top, away, angle, systole, rate, centre = (*rng.standard_normal(3), *rng.random(4))
    rows = even(profile.field_mm / profile.pixel_mm, largest)
    columns = even(profile.field_mm * profile.field_ratio / profile.pixel_mm, largest)
    slices = round((107 + 4 * coverage) / profile.spacing_mm)
    distance = min(13 * np.exp(0.62 * away), 79.0)
    if at_3t:  # shorter pulses are not allowed to heat: smaller flip angle
        profile = replace(profile, flip_deg=max(profile.flip_deg - 8, 35))
    return Acquisition(
        vendor=vendor,
        profile=profile,
        field_t=3.0 if at_3t else 1.5,
        shape=(rows, columns, slices),
        first_slice_mm=float(-10 + 3 * top),
        offset_mm=(float(distance * np.cos(2 * np.pi * angle)), float(distance * np.sin(2 * np.pi * angle))),
        es_share=float(0.32 + 0.10 * systole),
        heart_rate=float(round(55 + 30 * rate)),
        centre=CENTRES[vendor][int(centre * len(CENTRES[vendor]))],
    )


def even(size: float, largest: int) -> int:
    """A matrix size that is a multiple of 8, as scanners store and Fourier transforms like."""
    return int(min(max(round(size / 8) * 8, 64), largest))
