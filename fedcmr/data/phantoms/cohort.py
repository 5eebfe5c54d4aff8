"""Who is imaged where: vendors, diagnoses, codes and random streams of a training and of a test cohort.

Case numbers of the training cohort (training and validation) are those of the open M&Ms, 95, 125, 75 and 50 for
vendors A to D, divided by `scale`. The test cohort has `test_per_vendor` patients of each vendor, half of them
normal.
Diagnoses: at case-mix shift 0 every vendor has the same mix; at 1 each sees its own (`MIX`), where the share of the
normal stays near 0.3, so that a vendor's name says little about disease.

Three streams of random numbers belong to a patient: person, scan, image. The shifts change what is made of the
numbers, never how many are drawn, so each shift can be turned alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedcmr.data.phantoms.anatomy import GROUPS
from fedcmr.data.phantoms.scanner import PROFILES, Profile, draw_vendor

VENDORS = tuple(PROFILES)
OPEN_MNMS: Mapping[str, int] = {"A": 95, "B": 125, "C": 75, "D": 50}
# shares of NOR, DCM, HCM, MINF, ARV; our choice
COMMON_MIX = (0.30, 0.20, 0.20, 0.15, 0.15)
MIX: Mapping[str, tuple[float, ...]] = {
    "A": (0.33, 0.30, 0.10, 0.19, 0.08),
    "B": (0.28, 0.14, 0.34, 0.10, 0.14),
    "C": (0.32, 0.18, 0.12, 0.30, 0.08),
    "D": (0.27, 0.10, 0.18, 0.12, 0.33),
}
LEAST_OF_A_LABEL = 2
FIRST_RELEASED_SEED = 100
REALISTIC, RANDOMISED = STYLES = ("realistic", "randomised")


@dataclass(frozen=True)
class Patient:
    """One patient to be made.

    Args:
        code: as in M&Ms, letter and digit three times; says nothing about vendor or diagnosis.
        part: "training" or "testing". vendor: "A" to "D". group: diagnosis.
        scanner: the means of the vendor in this cohort.
        seed: entropy of the patient's three random streams.
        frames: of the cine; 2 means end-diastole and end-systole alone.
        style: one of STYLES; a randomised patient's images know neither `vendor` nor `scanner`.
    """

    code: str
    part: str
    vendor: str
    group: str
    scanner: Profile
    seed: tuple[int, ...]
    frames: int
    style: str = REALISTIC

    def streams(self) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
        """Generators for person, scan and image."""
        person, scan, image = np.random.SeedSequence(self.seed).spawn(3)
        return np.random.default_rng(person), np.random.default_rng(scan), np.random.default_rng(image)


def training_cohort(
    seed: int, scale: float, acquisition_shift: float, case_mix_shift: float, frames: int
) -> list[Patient]:
    """The patients for training and validation, ordered by code."""
    numbers = {vendor: max(round(OPEN_MNMS[vendor] / scale), 2 * LEAST_OF_A_LABEL) for vendor in VENDORS}
    groups = {vendor: spread(numbers[vendor], mix(vendor, case_mix_shift)) for vendor in VENDORS}
    return _cohort("training", seed, groups, acquisition_shift, frames)


def testing_cohort(seed: int, test_per_vendor: int, acquisition_shift: float, case_mix_shift: float) -> list[Patient]:
    """The patients for testing, ordered by code: one cohort for every seed below 100, another for every seed from
    100 on.
    """
    block = 0 if seed < FIRST_RELEASED_SEED else FIRST_RELEASED_SEED
    normal = test_per_vendor // 2
    groups = {}
    for vendor in VENDORS:
        diseased = np.array(mix(vendor, case_mix_shift)[1:])
        counts = apportion(test_per_vendor - normal, diseased / diseased.sum())
        groups[vendor] = [GROUPS[0]] * normal + _repeat(counts, GROUPS[1:])
    return _cohort("testing", block, groups, acquisition_shift, frames=2)


def mix(vendor: str, shift: float) -> tuple[float, ...]:
    """Shares of GROUPS at one vendor, summing to 1."""
    return tuple(common + shift * (own - common) for common, own in zip(COMMON_MIX, MIX[vendor], strict=True))


def spread(number: int, shares: tuple[float, ...]) -> list[str]:
    """Diagnoses of `number` patients in these shares, with at least two normal and two diseased."""
    counts = apportion(number, np.array(shares))
    while counts[0] < LEAST_OF_A_LABEL:
        counts[1 + int(np.argmax(counts[1:]))] -= 1
        counts[0] += 1
    while counts[1:].sum() < LEAST_OF_A_LABEL:
        counts[0] -= 1
        counts[1 + int(np.argmax(shares[1:]))] += 1
    return _repeat(counts, GROUPS)


def apportion(number: int, shares: np.ndarray) -> np.ndarray:
    """Whole numbers near number · shares that sum to `number` (largest remainders)."""
    exact = number * shares / shares.sum()
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: number - counts.sum()]] += 1
    return counts


def _repeat(counts: np.ndarray, groups: tuple[str, ...]) -> list[str]:
    return [group for group, count in zip(groups, counts, strict=True) for _ in range(count)]


def _cohort(
    part: str, seed: int, groups: Mapping[str, list[str]], acquisition_shift: float, frames: int
) -> list[Patient]:
    kind = 0 if part == "training" else 1
    rng = np.random.default_rng([kind, seed, 77])
    scanners = {vendor: draw_vendor(rng, vendor, acquisition_shift) for vendor in VENDORS}
    total = sum(len(members) for members in groups.values())
    codes = iter(_codes(rng, total, kind))
    patients = [
        Patient(
            code=next(codes),
            part=part,
            vendor=vendor,
            group=group,
            scanner=scanners[vendor],
            seed=(kind, seed, place, index),
            frames=frames,
        )
        for place, vendor in enumerate(VENDORS)
        for index, group in enumerate(groups[vendor])
    ]
    return sorted(patients, key=lambda patient: patient.code)


def _codes(rng: np.random.Generator, number: int, kind: int) -> list[str]:
    """Distinct codes; the last digit is even in training and odd in testing, so the two cohorts share none."""
    codes: dict[str, None] = {}
    while len(codes) < number:
        letters, digits = rng.integers(0, 26, 3), rng.integers(0, 10, 3)
        digits[2] = 2 * (digits[2] // 2) + kind
        codes["".join(f"{chr(65 + letter)}{digit}" for letter, digit in zip(letters, digits, strict=True))] = None
    return list(codes)
