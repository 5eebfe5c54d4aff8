"""Controls on made patients, where what tells the disease is known."""

from dataclasses import replace

import numpy as np
import pytest
from made_patients import MadeVolumes, patient
from probing.controls import CONTROLS, by_forest
from probing.effort import Effort
from probing.patients import Fold, Study

from fedcmr.pretraining.targets import MEASURES

# three in four are diseased
CASES = tuple(patient(f"p{i:02d}", "NOR" if i % 4 == 0 else "DCM") for i in range(48))
STUDY = Study("made", MadeVolumes(), (Fold(CASES[:32], CASES[32:]),), True)


def told(
    name: str, study: Study = STUDY, truth: dict[str, np.ndarray] | None = None
) -> tuple[list[float], list[float]]:
    """Probabilities of the healthy and of the diseased."""
    found = CONTROLS[name][1](study, truth or {}, Effort())
    assert set(found) == {case.id for case in study.tested}
    healthy = [found[case.id] for case in study.tested if case.group == "NOR"]
    return healthy, [found[case.id] for case in study.tested if case.group != "NOR"]


@pytest.mark.parametrize("name", ["masks", "masks-logistic"])
def test_measures_that_tell_the_disease_are_used(name):
    random = np.random.default_rng(0)
    truth = {case.id: random.normal(size=len(MEASURES)) - 5 * (case.group != "NOR") for case in CASES}
    healthy, diseased = told(name, truth=truth)
    assert max(healthy) < 0.5 < min(diseased)


def test_height_and_weight_that_are_equal_tell_nothing():
    cases = [replace(case, height_cm=170.0, weight_kg=70.0) for case in CASES]
    study = replace(STUDY, folds=(Fold(tuple(cases[:32]), tuple(cases[32:])),))
    healthy, diseased = told("height-weight", study)
    # the share of the diseased among the 32 drawn for a tree varies, but in the mean nobody is called
    assert set(healthy) == set(diseased)
    assert healthy[0] == pytest.approx(0.5, abs=0.02)


def test_acquisition_is_the_geometry_of_the_images():
    # slices of 5 mm stand where a name ends with 5, which tells nothing of the disease
    healthy, diseased = told("acquisition")
    assert len(set(healthy + diseased)) <= 2


def test_a_fold_of_one_class_is_refused():
    study = replace(STUDY, folds=(Fold(CASES[1:4], CASES[4:8]),))
    with pytest.raises(ValueError, match="both classes"):
        by_forest(study, lambda case: (1.0,))
