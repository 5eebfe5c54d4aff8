"""Scores against values worked out by hand."""

import numpy as np
import pytest
from made_patients import patient
from probing.scores import DRAWS, _draws, class_balanced, gain, scores
from sklearn.metrics import balanced_accuracy_score, roc_auc_score


def test_scores_by_hand():
    cases = [patient("a"), patient("b"), patient("c", "DCM"), patient("d", "HCM"), patient("e", "RV")]
    found = scores(cases, {"a": 0.2, "b": 0.6, "c": 0.5, "d": 0.6, "e": 0.9})
    # of six pairs: c wins one, d wins one and shares one, e wins two
    assert found.auroc.value == pytest.approx((1 + 1.5 + 2) / 6)
    # one of two healthy is called healthy, all diseased reach 0.5
    assert found.balanced_accuracy.value == pytest.approx((0.5 + 1) / 2)
    assert (found.n, found.diseased) == (5, 3)


def test_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(3)
    cases = [patient(f"p{i}", "NOR" if i % 3 else "DCM") for i in range(60)]
    told = {case.id: float(random.uniform()) for case in cases}
    found, sick = scores(cases, told), [case.group != "NOR" for case in cases]
    assert found.auroc.value == pytest.approx(roc_auc_score(sick, [*told.values()]))
    decided = [p >= 0.5 for p in told.values()]
    assert found.balanced_accuracy.value == pytest.approx(balanced_accuracy_score(sick, decided))
    assert found.auroc.low < found.auroc.value < found.auroc.high
    assert found == scores(cases, told)


def test_the_interval_is_narrower_with_more_patients():
    def width(count: int) -> float:
        random = np.random.default_rng(0)
        cases = [patient(f"p{i}", "NOR" if i % 2 else "DCM") for i in range(count)]
        told = {case.id: float(random.normal(case.group == "DCM")) for case in cases}
        found = scores(cases, told).auroc
        return found.high - found.low

    assert width(400) < 0.6 * width(100)


def test_one_class_has_no_scores():
    found = scores([patient("a"), patient("b")], {"a": 0.1, "b": 0.9})
    assert found.auroc.value is None
    assert found.balanced_accuracy.high is None
    assert (found.n, found.diseased) == (2, 0)


def test_studies_of_one_patient_are_drawn_together():
    drawn = _draws(["p", "q", "p"])
    assert drawn.shape == (DRAWS, 3)
    assert np.array_equal(drawn[:, 0], drawn[:, 2])
    assert set((drawn[:, 0] + drawn[:, 1]).tolist()) == {2.0}


def test_a_class_balanced_probability_is_half_at_the_share_of_the_diseased():
    assert class_balanced(0.8, share=0.8) == pytest.approx(0.5)
    assert class_balanced(0.3, share=0.5) == pytest.approx(0.3)
    assert class_balanced(1.0, share=0.9) == 1.0
    assert class_balanced(0.0, share=0.9) == 0.0


def test_a_gain_is_paired():
    random = np.random.default_rng(0)
    cases = [patient(f"p{i}", "NOR" if i % 2 else "DCM") for i in range(60)]
    told = {case.id: float(random.normal(case.group == "DCM")) for case in cases}
    better = {case.id: told[case.id] + 0.5 * (case.group == "DCM") for case in cases}
    found, alone = gain(cases, better, told), scores(cases, told).auroc
    assert found.value == pytest.approx(scores(cases, better).auroc.value - alone.value)
    # more of every draw is won, which two intervals side by side would not show
    assert 0 < found.low < found.value < found.high
    assert scores(cases, better).auroc.low < alone.high
    assert gain(cases, told, told).high == 0.0
    assert gain(cases[::2], told, told).value is None
