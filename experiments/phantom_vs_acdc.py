"""The phantom's ranges beside real patients': a table that is read, never fitted.

    python experiments/phantom_vs_acdc.py DIR [FILE]

Left: the default cohort's training patients (seed 0) as drawn. Right: ACDC's training patients, counted from their
masks (mass at 1.05 g/ml). Mean ± SD by group, volumes and mass over body surface area; the wall is the mean
end-diastolic one of the middle third of the ventricle, from the areas inside and outside it. Prints Markdown, and
writes it to FILE where one is given. Under a minute; no image is opened.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case, Frame
from fedcmr.data.phantom import Knobs, cohorts
from fedcmr.data.phantoms.anatomy import GROUPS
from fedcmr.data.phantoms.heart import MUSCLE_G_PER_ML
from fedcmr.data.phantoms.subject import Subject, draw_subject

QUANTITIES: Mapping[str, str] = {
    "lv_edv": "LV EDV, ml/m²",
    "lv_esv": "LV ESV, ml/m²",
    "lv_ef": "LVEF, %",
    "lv_mass": "LV mass, g/m²",
    "wall": "mid-ventricular wall, mm",
    "rv_edv": "RV EDV, ml/m²",
    "rv_ef": "RVEF, %",
}
Measured = dict[str, float]
Member = TypeVar("Member")


def main(arguments: Sequence[str]) -> None:
    if not 1 <= len(arguments) <= 2:
        raise SystemExit("usage: python experiments/phantom_vs_acdc.py ACDC_FOLDER [FILE]")
    drawn = by_group(cohorts(Knobs())["training"], lambda p: p.group, lambda p: of_subject(draw_subject(p)))
    real = by_group(read_acdc(Path(arguments[0])), lambda c: c.group.replace("RV", "ARV"), of_masks)
    text = markdown(drawn, real)
    print(text)
    if len(arguments) == 2:
        Path(arguments[1]).write_text(text + "\n")


def by_group(
    members: Sequence[Member], group: Callable[[Member], str], measure: Callable[[Member], Measured]
) -> dict[str, list[Measured]]:
    """Measures of all members, gathered by group."""
    found: dict[str, list[Measured]] = {name: [] for name in GROUPS}
    for member in members:
        found[group(member)].append(measure(member))
    return found


def of_subject(subject: Subject) -> Measured:
    """What a simulated heart was drawn with."""
    truth, area = subject.heart.truth, subject.person.bsa_m2
    at = subject.heart.contours(subject.heart.length_mm * np.linspace(1 / 3, 2 / 3, 9, dtype=np.float32), 0.0)
    return {
        "lv_edv": truth["lv_edv_ml"] / area,
        "lv_esv": truth["lv_esv_ml"] / area,
        "lv_ef": 100 * truth["lv_ef"],
        "lv_mass": truth["lv_mass_g"] / area,
        "wall": mean_wall(np.pi * (at.endo**2).mean(1), np.pi * (at.epi**2).mean(1)),
        "rv_edv": truth["rv_edv_ml"] / area,
        "rv_ef": 100 * truth["rv_ef"],
    }


def of_masks(case: Case) -> Measured:
    """What the masks of a real patient hold. Spacing from pixdim: ACDC's affine has unit scale."""
    (ed, zooms), (es, _) = voxels(case.ed), voxels(case.es)
    ml = float(np.prod(zooms)) / 1000
    assert case.height_cm is not None
    assert case.weight_kg is not None
    area = np.sqrt(case.height_cm * case.weight_kg / 3600)
    right, muscle, left = case.mask_labels
    levels = np.flatnonzero((ed == left).any((0, 1)))
    inner = (ed[..., levels] == left).sum((0, 1)) * zooms[0] * zooms[1]
    outer = inner + (ed[..., levels] == muscle).sum((0, 1)) * zooms[0] * zooms[1]
    volume = {name: ((ed == k).sum() * ml, (es == k).sum() * ml) for name, k in (("lv", left), ("rv", right))}
    return {
        "lv_edv": volume["lv"][0] / area,
        "lv_esv": volume["lv"][1] / area,
        "lv_ef": 100 * (1 - volume["lv"][1] / volume["lv"][0]),
        "lv_mass": (ed == muscle).sum() * ml * MUSCLE_G_PER_ML / area,
        "wall": mean_wall(inner[middle_third(len(inner))], outer[middle_third(len(outer))]),
        "rv_edv": volume["rv"][0] / area,
        "rv_ef": 100 * (1 - volume["rv"][1] / volume["rv"][0]),
    }


def voxels(frame: Frame) -> tuple[NDArray[np.int16], tuple[float, ...]]:
    image = nib.load(frame.mask)
    return np.asarray(image.dataobj).astype(np.int16), tuple(float(z) for z in image.header.get_zooms()[:3])


def mean_wall(inner_mm2: NDArray[np.float64], outer_mm2: NDArray[np.float64]) -> float:
    """Wall in mm between circles of these areas, mean over slices."""
    return float(np.mean(np.sqrt(outer_mm2 / np.pi) - np.sqrt(inner_mm2 / np.pi)))


def middle_third(count: int) -> slice:
    """Indices of the middle third, at least one."""
    first = count // 3
    return slice(first, max(count - first, first + 1))


def markdown(drawn: Mapping[str, Sequence[Measured]], real: Mapping[str, Sequence[Measured]]) -> str:
    """One line a quantity, two columns a group: phantom, ACDC."""
    heads = [f"{group} phantom (n={len(drawn[group])}) | {group} ACDC (n={len(real[group])})" for group in GROUPS]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (2 * len(GROUPS) + 1) + "|"]
    for name, title in QUANTITIES.items():
        cells = []
        for group in GROUPS:
            for members in (drawn[group], real[group]):
                values = [member[name] for member in members]
                cells.append(f"{np.mean(values):.0f} ± {np.std(values):.0f}")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
