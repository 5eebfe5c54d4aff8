"""The linear probe: standardised features, logistic regression with an L2 penalty that training patients choose."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Inverse strengths C of the penalty that are tried, our choice before any result."""

INNER_FOLDS = 5
Numbers = NDArray[np.float64]


def probe(train: Numbers, labels: NDArray[np.int64], patients: Sequence[str]) -> Pipeline:
    """A fitted pipeline; its `predict_proba` is of classes that weigh equally, so 0.5 stands between two.

    C has the least class-balanced log loss over inner folds of the training patients, the smallest of equals.

    Args:
        train: (P, F). labels: (P,), class indices. patients: codes of the cases, which inner folds keep together.
    """
    weights = compute_sample_weight("balanced", labels)
    folds = min(INNER_FOLDS, int(np.bincount(labels)[np.unique(labels)].min()))
    inner = list(StratifiedGroupKFold(folds, shuffle=True, random_state=0).split(train, labels, patients))
    column = np.searchsorted(np.unique(labels), labels)

    def loss(strength: float) -> float:
        told = cross_val_predict(_pipeline(strength), train, labels, cv=inner, method="predict_proba")
        return float(np.average(-np.log(np.clip(told[np.arange(len(labels)), column], 1e-12, 1)), weights=weights))

    return _pipeline(min(STRENGTHS, key=loss)).fit(train, labels)


def _pipeline(strength: float) -> Pipeline:
    return make_pipeline(
        StandardScaler(), LogisticRegression(C=strength, class_weight="balanced", max_iter=2000, random_state=0)
    )
