"""Whether probabilities mean what they say: calibration intercept and slope of predicted disease."""

import math
from collections.abc import Sequence

ENDS = 1e-6
"""Probabilities are kept this far from 0 and 1, where their logit ends."""

WIDEST = 50.0
"""An intercept or slope beyond this has no finite estimate: the classes are told apart without an error."""


def calibration(labels: Sequence[int], probabilities: Sequence[float]) -> tuple[float | None, float | None]:
    """(intercept, slope): a of logit P(y) = a + logit p, and b of logit P(y) = a' + b logit p; ideal are 0 and 1.

    Maximum likelihood. A negative intercept: disease is predicted too often. A slope below 1: too boldly.

    Args:
        labels: 0 or 1 each. probabilities: of 1, in [0, 1].
    Returns: None for each that has no finite estimate: one class alone, equal probabilities, or classes that a
        threshold parts without an error.
    Source: Van Calster et al. 2016, J Clin Epidemiol 74:167-176.
    """
    import numpy as np
    from scipy.optimize import brentq, minimize
    from scipy.special import expit

    y = np.asarray(labels, dtype=float)
    logits = np.array([math.log(p / (1 - p)) for p in np.clip(probabilities, ENDS, 1 - ENDS)])
    if len(set(labels)) < 2:
        return None, None
    intercept = float(brentq(lambda a: float((expit(a + logits) - y).sum()), -WIDEST, WIDEST))
    if np.ptp(logits) == 0:
        return intercept, None

    def loss(ab: "np.ndarray") -> float:
        z = ab[0] + ab[1] * logits
        return float((np.logaddexp(0, z) - y * z).sum())

    def gradient(ab: "np.ndarray") -> "np.ndarray":
        missed = expit(ab[0] + ab[1] * logits) - y
        return np.array([missed.sum(), (missed * logits).sum()])

    fitted = minimize(loss, np.array([0.0, 1.0]), jac=gradient, method="BFGS")
    parts = _parts(y, logits)
    return intercept, None if parts or abs(fitted.x[1]) > WIDEST else float(fitted.x[1])


def _parts(y: "object", logits: "object") -> bool:
    """Whether a threshold parts the classes without an error, on either side."""
    import numpy as np

    y, logits = np.asarray(y), np.asarray(logits)
    ones, zeros = logits[y == 1], logits[y == 0]
    return bool(ones.min() >= zeros.max() or zeros.min() >= ones.max())
