"""What frozen features encode: the heart's measures by ridge regression, the vendor by the linear probe."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from fedcmr.data.cases import Case
from fedcmr.pretraining.targets import MEASURES
from probing.frozen import Frozen
from probing.linear import probe
from probing.patients import Study

ASKED = ("lv_edv", "lv_ef", "lv_mass", "rv_edv", "rv_ef")
STRENGTHS = tuple(10.0**power for power in range(-1, 7))
Measured = Mapping[str, NDArray[np.float64]]
"""Case -> the seven measures of `targets.MEASURES`."""

Agreement = dict[str, dict[str, float | None]]
"""Measure -> {"r2", "correlation"}."""


def encoded(study: Study, frozen_of: Sequence[Frozen], truth: Measured) -> Agreement:
    """How well scored patients' measures are told: by ridge regression of the training patients' features in each fold.

    R² = 1 - Σ (told - true)² / Σ (true - mean)²: 0 for who always tells the mean, below for who does worse.

    Args:
        frozen_of: the backbone of each fold. truth: case -> its measures.
    """
    told_PM = np.concatenate(
        [
            _ridge(frozen.table(study.volumes, fold.train), asked_of(fold.train, truth)).predict(
                frozen.table(study.volumes, fold.test)
            )
            for fold, frozen in zip(study.folds, frozen_of, strict=True)
        ]
    )
    return agreement(told_PM, asked_of(study.tested, truth))


def carried_over(taught: Study, asked: Study, frozen: Frozen, truth: Measured) -> Agreement:
    """As `encoded`, where one study's training patients teach and all of another study are told."""
    train = [case for fold in taught.folds for case in fold.train]
    model = _ridge(frozen.table(taught.volumes, train), asked_of(train, truth))
    return agreement(model.predict(frozen.table(asked.volumes, asked.tested)), asked_of(asked.tested, truth))


def vendor_accuracy(study: Study, frozen: Frozen) -> dict[str, float]:
    """How well scored patients' features tell the vendor: balanced accuracy over five folds, beside chance."""
    cases = study.tested
    names = sorted({case.client for case in cases})
    labels = np.array([names.index(case.client) for case in cases])
    features, patients = frozen.table(study.volumes, cases), np.array([case.patient for case in cases])
    told = np.zeros_like(labels)
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(features, labels):
        told[test] = probe(features[train], labels[train], patients[train].tolist()).predict(features[test])
    return {"balanced_accuracy": float(balanced_accuracy_score(labels, told)), "chance": 1 / len(names)}


def asked_of(cases: Sequence[Case], truth: Measured) -> NDArray[np.float64]:
    """The measures that are asked, (P, M)."""
    columns = [list(MEASURES).index(name) for name in ASKED]
    return np.stack([truth[case.id][columns] for case in cases])


def agreement(told_PM: NDArray[np.float64], true_PM: NDArray[np.float64]) -> Agreement:
    """R² and Pearson's correlation of each measure; both None where it is the same in everybody, the correlation also
    where everybody is told the same.
    """
    found: Agreement = {}
    for name, told, true in zip(ASKED, told_PM.T, true_PM.T, strict=True):
        spread = ((true - true.mean()) ** 2).sum()
        r2 = float(1 - ((told - true) ** 2).sum() / spread) if spread > 0 else None
        is_defined = spread > 0 and np.ptp(told) > 0
        found[name] = {"r2": r2, "correlation": float(np.corrcoef(told, true)[0, 1]) if is_defined else None}
    return found


def _ridge(features: NDArray[np.float64], truth: NDArray[np.float64]) -> Pipeline:
    """Standardised features; the strength is chosen for each measure by leaving training patients out, one by one."""
    return make_pipeline(StandardScaler(), RidgeCV(STRENGTHS, alpha_per_target=True)).fit(features, truth)
