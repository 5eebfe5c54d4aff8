"""Calibration intercept and slope: by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from fedcmr.reports.calibrating import calibration


def test_the_intercept_of_equal_probabilities_is_the_difference_of_the_odds() -> None:
    # 1 of 4 diseased, predicted 0.5 each: logit(0.25) − logit(0.5)
    intercept, slope = calibration([1, 0, 0, 0], [0.5] * 4)
    assert intercept == pytest.approx(math.log(1 / 3))
    assert slope is None


def test_a_slope_is_the_coefficient_of_a_logistic_regression_without_penalty() -> None:
    draw = np.random.default_rng(0)
    p = draw.uniform(0.05, 0.95, 300)
    y = (draw.uniform(size=300) < expit(0.4 + 0.6 * np.log(p / (1 - p)))).astype(int)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(np.log(p / (1 - p))[:, None], y)
    _, slope = calibration(list(y), list(p))
    assert slope == pytest.approx(float(reference.coef_[0, 0]), abs=1e-4)


def test_what_was_drawn_from_the_probabilities_is_calibrated() -> None:
    # 20 000 draws: standard errors near 0.02
    draw = np.random.default_rng(1)
    p = draw.uniform(0.02, 0.98, 20_000)
    intercept, slope = calibration(list((draw.uniform(size=len(p)) < p).astype(int)), list(p))
    assert abs(intercept) < 0.08
    assert abs(slope - 1) < 0.08


def test_probabilities_that_are_too_bold_have_a_slope_below_one() -> None:
    draw = np.random.default_rng(2)
    true = draw.uniform(0.2, 0.8, 5000)
    bold = expit(3 * np.log(true / (1 - true)))
    _, slope = calibration(list((draw.uniform(size=len(true)) < true).astype(int)), list(bold))
    assert slope == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ([1, 1], [0.2, 0.9], (None, None)),
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], (True, None)),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], (True, None)),
        ([0, 1, 1], [0.0, 1.0, 1.0], (True, None)),
    ],
)
def test_what_has_no_finite_estimate_is_none(
    labels: list[int], probabilities: list[float], expected: tuple[object, object]
) -> None:
    intercept, slope = calibration(labels, probabilities)
    assert (intercept is not None) == bool(expected[0])
    assert slope is expected[1]
