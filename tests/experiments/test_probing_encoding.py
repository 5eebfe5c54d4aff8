"""What features encode, on made features."""

from dataclasses import dataclass

import numpy as np
import pytest
from made_data import ACDC_LABELS, Heart, make_acdc_patient
from made_patients import patient
from probing.encoding import ASKED, agreement, carried_over, encoded, vendor_accuracy
from probing.measures import measured
from probing.patients import Fold, Study

from fedcmr.data.acdc import read_patient
from fedcmr.data.measures import NAMES, heart_measures
from fedcmr.pretraining.targets import MEASURES


@dataclass(frozen=True)
class MadeFeatures:
    """Stands for a frozen backbone: case -> numbers."""

    known: dict[str, np.ndarray]

    def table(self, volumes, cases):
        return np.stack([self.known[case.id] for case in cases])


@pytest.fixture
def study() -> Study:
    cases = [patient(f"p{i:02d}", client=f"vendor{'AB'[i % 2]}") for i in range(48)]
    return Study("made", None, (Fold(tuple(cases[:28]), tuple(cases[28:])),), False)


def truth_of(study: Study) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {case.id: random.normal(size=len(MEASURES)) for case in study.everybody}


def test_agreement_by_hand():
    true = np.tile(np.array([1.0, 2.0, 3.0])[:, None], len(ASKED))
    told = true.copy()
    told[:, 0] = 2.0 * told[:, 0]  # errors 1, 2, 3 against 1, 0, 1 of the mean
    found = agreement(told, true)
    assert found[ASKED[0]] == pytest.approx({"r2": 1 - 14 / 2, "correlation": 1.0})
    assert found[ASKED[1]] == pytest.approx({"r2": 1.0, "correlation": 1.0})


def test_what_is_the_same_in_everybody_has_no_agreement():
    true = np.tile(np.array([1.0, 2.0, 3.0])[:, None], len(ASKED))
    told, true[:, 0] = np.ones_like(true), 5.0
    found = agreement(told, true)
    assert found[ASKED[0]] == {"r2": None, "correlation": None}
    assert found[ASKED[1]] == {"r2": pytest.approx(1 - 5 / 2), "correlation": None}


def test_a_measure_that_stands_in_the_features_is_read_and_another_is_not(study):
    truth, ef = truth_of(study), list(MEASURES).index("lv_ef")
    random = np.random.default_rng(1)
    features = {id: np.array([3 * row[ef], *random.normal(size=4)]) for id, row in truth.items()}
    found = encoded(study, [MadeFeatures(features)], truth)
    assert found["lv_ef"]["r2"] > 0.95
    assert found["rv_edv"]["r2"] < 0.3
    assert carried_over(study, study, MadeFeatures(features), truth) == found


def test_a_vendor_in_the_features_is_told(study):
    random = np.random.default_rng(1)
    plain = {case.id: random.normal(size=3) for case in study.everybody}
    marked = {case.id: plain[case.id] + 9.0 * (case.client == "vendorA") for case in study.everybody}
    assert vendor_accuracy(study, MadeFeatures(marked)) == {"balanced_accuracy": 1.0, "chance": 0.5}
    assert vendor_accuracy(study, MadeFeatures(plain))["balanced_accuracy"] < 0.85


def test_measures_are_counted_on_the_masks_own_grid(tmp_path):
    heart = Heart(seed=4)
    make_acdc_patient(tmp_path / "training" / "patient001", heart=heart)
    case = read_patient(tmp_path / "training" / "patient001")
    ed, es = heart.frame("ED")[1], heart.frame("ES")[1]
    ml = 3.0 * 3.0 * 10.0 / 1000
    rv, myo, lv = ACDC_LABELS
    found = heart_measures(case)
    assert list(found) == list(MEASURES)
    assert found["lv_edv"] == pytest.approx((ed == lv).sum() * ml)
    assert found["rv_esv"] == pytest.approx((es == rv).sum() * ml)
    assert found["lv_mass"] == pytest.approx((ed == myo).sum() * ml * 1.05)
    assert found["lv_ef"] == pytest.approx(1 - (es == lv).sum() / (ed == lv).sum())
    assert measured([case])[case.id].tolist() == [*found.values()]


def test_a_case_without_masks_is_refused():
    with pytest.raises(ValueError, match="no mask"):
        heart_measures(patient("a"))


def test_pre_training_asks_for_the_same_measures() -> None:
    assert tuple(MEASURES) == NAMES
