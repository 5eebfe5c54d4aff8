"""Who is imaged: a person, a diagnosis of some severity, and the volumes, masses and ejection fractions that go with
it.

Normal values, mean ± SD (men / women), with papillary muscles counted as cavity, which is how the masks are drawn:
    LV end-diastolic volume 85±15 / 74±12 ml/m², LVEF 58±5 / 61±5 %, LV mass 53±9 / 42±7 g/m²,
    RV end-diastolic volume 93±17 / 77±13 ml/m², RVEF 54±6 / 58±6 %
    Petersen et al., J Cardiovasc Magn Reson 19:18, 2017 (804 healthy adults), one of the cohorts of the reference
    ranges of Kawel-Boehm et al., J Cardiovasc Magn Reson 22:87, 2020.
Disease moves these values away from the person's own normal, in proportion to a severity in [0, 1]; at 0 the heart
is normal:
    DCM   LVEF < 40 %, LV > 100 ml/m², wall < 12 mm at the strong end   Bernard et al., IEEE TMI 37:2514, 2018
        (ACDC's criteria)
    HCM   wall >= 15 mm, LVEF > 55 %, septal, concentric or apical       Elliott et al., Eur Heart J 35:2733, 2014
    MINF  akinetic thinned territory of one coronary artery, LVEF < 40 % Cerqueira et al., Circulation 105:539, 2002
        (territories)
    ARV   RV > 110 (men) / 100 (women) ml/m², RVEF < 40 %                Marcus et al., Circulation 121:1533, 2010
Body surface area after Mosteller, N Engl J Med 317:1098, 1987. Correlations, athletes (a fifth of the normal, with
large hearts) and the size of each step are our choice. Nothing was fitted to patients' images or masks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

GROUPS = ("NOR", "DCM", "HCM", "MINF", "ARV")
TERRITORIES = ("LAD", "RCA", "LCX")


@dataclass(frozen=True)
class Person:
    """sex: "M" or "F"; age_years, height_cm, weight_kg."""

    sex: str
    age_years: float
    height_cm: float
    weight_kg: float

    @property
    def bsa_m2(self) -> float:
        """Body surface area √(height · weight / 3600)."""
        return float(np.sqrt(self.height_cm * self.weight_kg / 3600))


@dataclass(frozen=True)
class Targets:
    """What the heart is built to have, and how its disease shows.

    Args:
        edv_ml, ef: left ventricle, ef in (0, 1). mass_g: LV muscle.
        rv_edv_ml, rv_ef: right ventricle.
        severity: in [0, 1]; 0 for a normal heart.
        pattern: "" for an even heart; HCM "septal", "concentric", "apical"; MINF a territory; ARV and DCM "".
    """

    group: str
    severity: float
    pattern: str
    edv_ml: float
    ef: float
    mass_g: float
    rv_edv_ml: float
    rv_ef: float


@dataclass(frozen=True)
class Normal:
    """Mean and SD of indexed volumes (ml/m²), ejection fractions (%) and mass (g/m²) of one sex."""

    edvi: tuple[float, float]
    ef: tuple[float, float]
    massi: tuple[float, float]
    rv_edvi: tuple[float, float]
    rv_ef: tuple[float, float]


NORMAL: Mapping[str, Normal] = {
    "M": Normal((85, 15), (58, 5), (53, 9), (93, 17), (54, 6)),
    "F": Normal((74, 12), (61, 5), (42, 7), (77, 13), (58, 6)),
}

# what full severity adds to the person's own normal: (ml/m², %, g/m², ml/m², %), after the criteria above
FULL_SEVERITY: Mapping[str, tuple[float, float, float, float, float]] = {
    "NOR": (0, 0, 0, 0, 0),
    "DCM": (75, -40, 28, 12, -20),
    "HCM": (-10, 7, 50, -8, 3),
    "MINF": (26, -34, 8, -2, -3),
    "ARV": (-10, -4, -2, 55, -27),
}
# severity of the diseased: Beta(a, b) stretched to [least, 1]; set with experiments/phantom_difficulty.py
SEVERITY_SHAPE = (1.4, 1.3)
SEVERITY_LEAST = 0.10


def draw_person(rng: np.random.Generator, group: str) -> Person:
    """A person of 18 to 88 years; sex and age lean on the diagnosis only weakly, body size not at all."""
    sex = "M" if rng.random() < {"NOR": 0.52, "MINF": 0.64}.get(group, 0.58) else "F"
    age = np.clip(rng.normal({"NOR": 50, "MINF": 56, "ARV": 49}.get(group, 53), 15), 18, 88)
    height = np.clip(rng.normal(176 if sex == "M" else 163, 7), 145, 205)
    bmi = np.clip(rng.lognormal(np.log(25.5), 0.14), 17.5, 40)
    return Person(sex, round(float(age)), round(float(height)), round(float(bmi * (height / 100) ** 2)))


def draw_targets(rng: np.random.Generator, group: str, person: Person) -> Targets:
    """Volumes, function and mass of one person with one diagnosis.

    Args:
        rng: consumed in a fixed order. group: one of GROUPS.
    Returns targets within what the geometry can carry (LVEF 0.10 to 0.80, RVEF 0.10 to 0.75).
    """
    normal = NORMAL[person.sex]
    size, muscle, left, right, squeeze = rng.standard_normal(5)
    # a large left ventricle goes with a large right one and with mass; a strong left with a strong right
    edvi = normal.edvi[0] + normal.edvi[1] * size
    massi = normal.massi[0] + normal.massi[1] * (0.5 * size + 0.87 * muscle)
    rv_edvi = normal.rv_edvi[0] + normal.rv_edvi[1] * (0.75 * size + 0.66 * right)
    ef = normal.ef[0] + normal.ef[1] * left
    rv_ef = normal.rv_ef[0] + normal.rv_ef[1] * (0.4 * left + 0.92 * squeeze)
    athlete, severity = rng.random(), SEVERITY_LEAST + (1 - SEVERITY_LEAST) * rng.beta(*SEVERITY_SHAPE)
    pattern = draw_pattern(rng, group)
    if group == "NOR":
        severity = 0.0
        trained = max(0.0, (athlete - 0.8) / 0.2)
        edvi, rv_edvi, massi = edvi + 18 * trained, rv_edvi + 20 * trained, massi + 9 * trained
        ef, rv_ef = ef - 2.5 * trained, rv_ef - 2.5 * trained
    step = FULL_SEVERITY[group]
    edvi, ef, massi = edvi + severity * step[0], ef + severity * step[1], massi + severity * step[2]
    rv_edvi, rv_ef = rv_edvi + severity * step[3], rv_ef + severity * step[4]
    area = person.bsa_m2
    return Targets(
        group=group,
        severity=float(severity),
        pattern=pattern,
        edv_ml=float(np.clip(edvi, 38, 230)) * area,
        ef=float(np.clip(ef, 10, 80)) / 100,
        mass_g=float(np.clip(massi, 24, 150)) * area,
        rv_edv_ml=float(np.clip(rv_edvi, 38, 200)) * area,
        rv_ef=float(np.clip(rv_ef, 10, 75)) / 100,
    )


def draw_pattern(rng: np.random.Generator, group: str) -> str:
    """How the disease lies in the wall; one random number is consumed whatever the group."""
    chance = rng.random()
    if group == "HCM":
        return "septal" if chance < 0.65 else "concentric" if chance < 0.9 else "apical"
    if group == "MINF":
        return TERRITORIES[int(np.searchsorted((0.5, 0.8), chance))]
    return ""
