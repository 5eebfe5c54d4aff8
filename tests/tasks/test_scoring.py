"""Metrics against values computed by hand and against scikit-learn."""

import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from fedcmr.tasks.scoring import METRICS, calibration, fit_threshold, scores


def two(*diseased: float) -> list[tuple[float, float]]:
    return [(1 - p, p) for p in diseased]


def test_a_small_example_is_scored_as_by_hand():
    # healthy .3 .6; diseased .8 .4 .9; called diseased from 0.5: recall 2/3 and 1/2
    found = scores([0, 1, 1, 0, 1], two(0.3, 0.8, 0.4, 0.6, 0.9), [0, 1, 0, 1, 1])
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["sensitivity"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(1 / 2)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert found["auroc"] == pytest.approx(5 / 6)  # of six pairs only (.4 diseased, .6 healthy) is the wrong way round
    assert found["brier"] == pytest.approx((0.3**2 + 0.2**2 + 0.6**2 + 0.6**2 + 0.1**2) / 5)
    assert found["log_loss"] == pytest.approx(-sum(map(math.log, (0.7, 0.8, 0.4, 0.4, 0.9))) / 5)
    assert found["n"] == 5


def test_what_one_class_does_not_determine_is_none_and_not_zero():
    diseased = scores([1, 1], two(0.3, 0.8), [0, 1])
    assert diseased["sensitivity"] == 0.5
    assert [diseased[name] for name in ("balanced_accuracy", "specificity", "auroc")] == [None, None, None]
    healthy = scores([0, 0], two(0.3, 0.2), [0, 0])
    assert healthy["specificity"] == 1.0
    assert [healthy[name] for name in ("balanced_accuracy", "sensitivity", "auroc", "f1")] == [None] * 4
    assert healthy["brier"] == pytest.approx((0.09 + 0.04) / 2)


def test_without_patients_everything_but_their_number_is_none():
    assert scores([], [], []) == {**dict.fromkeys(METRICS), "n": 0}


def test_a_model_that_diverged_has_no_scores():
    assert scores([0, 1], [(math.nan, math.nan), (0.5, 0.5)], [0, 0]) == {**dict.fromkeys(METRICS), "n": 2}


def test_balanced_accuracy_of_diagnoses_is_the_mean_recall_of_those_present():
    # class 3 is absent, but wrongly decided once: recalls 1, 1/2, 0 over three present classes
    labels, decided = [0, 1, 1, 2], [0, 1, 3, 1]
    found = scores(labels, [(0.25, 0.25, 0.25, 0.25)] * 4, decided)
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["specificity"] == 1.0
    assert found["sensitivity"] == 1.0
    assert found["f1"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["auroc"] == 0.5


def test_brier_and_auroc_of_diagnoses_look_at_healthy_against_the_rest():
    found = scores([0, 1, 2], [(0.6, 0.2, 0.2), (0.1, 0.1, 0.8), (0.7, 0.1, 0.2)], [0, 2, 0])
    assert found["auroc"] == 0.5
    assert found["brier"] == pytest.approx((0.4**2 + 0.1**2 + 0.7**2) / 3)


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 labels, 1 probabilities, 2 decisions"):
        scores([0, 1], two(0.5), [0, 1])


patients = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=2, max_size=30)


@settings(max_examples=40, deadline=None)
@given(patients)
def test_two_classes_score_as_scikit_learn_does(rows):
    labels, p = [label for label, _ in rows], [p for _, p in rows]
    decided = [int(value >= 0.5) for value in p]
    found = scores(labels, two(*p), decided)
    if len(set(labels)) == 2:
        assert found["auroc"] == pytest.approx(metrics.roc_auc_score(labels, [row[1] for row in two(*p)]), abs=1e-6)
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, decided))
        assert found["balanced_accuracy"] == pytest.approx((found["sensitivity"] + found["specificity"]) / 2)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, decided))
    if found["f1"] is not None:
        assert found["f1"] == pytest.approx(metrics.f1_score(labels, decided))
    assert all(value is None or math.isfinite(value) for value in found.values())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
def test_diagnoses_score_as_scikit_learn_does(pairs):
    labels, decided = [label for label, _ in pairs], [word for _, word in pairs]
    found = scores(labels, [(0.25, 0.25, 0.25, 0.25)] * len(pairs), decided)
    present = sorted(set(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recalls = metrics.recall_score(labels, decided, labels=present, average="macro")
        f1 = metrics.f1_score(labels, decided, labels=present, average="macro")
    assert found["balanced_accuracy"] == (None if len(present) == 1 else pytest.approx(recalls))
    assert found["f1"] == pytest.approx(f1)


def test_the_threshold_separates_what_can_be_separated():
    # anything above 0.6 up to 0.7 is perfect; the middle is tried
    assert fit_threshold([0, 0, 1, 1], [0.2, 0.6, 0.7, 0.9]) == pytest.approx(0.65)


def test_of_equal_thresholds_the_one_nearest_a_half_is_taken():
    assert fit_threshold([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9]) == 0.5
    # 0.15 and 0.45 both give 3/4: (1/2 + 1) / 2 and (1 + 1/2) / 2
    assert fit_threshold([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.48]) == pytest.approx(0.44)


@settings(max_examples=40, deadline=None)
@given(patients.filter(lambda rows: len({label for label, _ in rows}) == 2))
def test_no_other_threshold_is_better_balanced(rows):
    labels, p = [label for label, _ in rows], [p for _, p in rows]
    fitted = fit_threshold(labels, p)
    best = max(
        metrics.balanced_accuracy_score(labels, [int(value >= tried) for value in p])
        for tried in (*p, 0.5, 0.0, math.nextafter(1.0, 2.0))
    )
    got = metrics.balanced_accuracy_score(labels, [int(value >= fitted) for value in p])
    # "nobody is diseased" (0.5) is not tried, since "everybody" is and balances as well
    assert got == pytest.approx(best)


def test_a_threshold_needs_both_classes():
    with pytest.raises(ValueError, match="2 diseased and 0 healthy"):
        fit_threshold([1, 1], [0.2, 0.6])


def test_calibrated_probabilities_have_intercept_zero_and_slope_one():
    # of 10 patients at 0.2 two are diseased, of 10 at 0.8 eight: calibrated by construction
    found = calibration([1] * 2 + [0] * 8 + [1] * 8 + [0] * 2, [0.2] * 10 + [0.8] * 10)
    assert found["intercept"] == pytest.approx(0, abs=1e-5)
    assert found["slope"] == pytest.approx(1, abs=1e-5)


def test_overconfident_probabilities_have_a_slope_below_one():
    # said logit(0.9) where logit(0.75) is true: slope ln 3 / ln 9 = 1/2
    found = calibration([1] * 2 + [0] * 6 + [1] * 6 + [0] * 2, [0.1] * 8 + [0.9] * 8)
    assert found["slope"] == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize(
    ("diseased", "p"),
    [
        ([1, 1], [0.2, 0.4]),
        ([0, 1], [0.2, 0.4]),
        ([0, 1, 0], [0.3, 0.3, 0.3]),
        ([0, 1, 0], [0.3, math.nan, 0.3]),
        ([], []),
    ],
)
def test_calibration_is_none_where_it_does_not_exist(diseased, p):
    assert calibration(diseased, p) == {"intercept": None, "slope": None}
