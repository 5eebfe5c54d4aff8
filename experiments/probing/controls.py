"""What a backbone has to beat: scores without one. Each control is (study, truth, effort) -> case -> probability.

Probabilities of forests and of the logistic regression are class-balanced, so that 0.5 calls a patient diseased.
"""

from collections.abc import Callable, Mapping

import numpy as np

from fedcmr.reports.controls import Features, Forest, acquired, body
from probing.effort import Effort
from probing.encoding import Measured
from probing.judging import Told
from probing.linear import probe
from probing.patients import Fold, Study, is_diseased
from probing.scores import class_balanced
from probing.scratch import from_scratch

Control = Callable[[Study, Measured, Effort], Told]


def acquisition(study: Study, truth: Measured, effort: Effort) -> Told:
    """A forest on how the study was acquired, as `fedcmr/reports/controls.py` does."""
    return by_forest(study, lambda case: acquired(study.volumes.geometry(case)))


def height_weight(study: Study, truth: Measured, effort: Effort) -> Told:
    """A forest on height and weight."""
    return by_forest(study, body)


def masks_forest(study: Study, truth: Measured, effort: Effort) -> Told:
    """A forest on volumes, ejection fractions and mass from the reference masks."""
    return by_forest(study, lambda case: tuple(truth[case.id].tolist()))


def masks_logistic(study: Study, truth: Measured, effort: Effort) -> Told:
    """The linear probe on the same numbers."""
    told: Told = {}
    for fold in study.folds:
        train, test = (np.stack([truth[case.id] for case in cases]) for cases in (fold.train, fold.test))
        fitted = probe(train, np.array(_diseased(fold)), [case.patient for case in fold.train])
        told |= dict(zip([case.id for case in fold.test], fitted.predict_proba(test)[:, 1].tolist(), strict=True))
    return told


def network(study: Study, truth: Measured, effort: Effort) -> Told:
    """A small 3-D network that starts from random weights, all of which train."""
    return from_scratch(study, effort.training)


CONTROLS: Mapping[str, tuple[str, Control]] = {
    "acquisition": ("forest", acquisition),
    "height-weight": ("forest", height_weight),
    "masks": ("forest", masks_forest),
    "masks-logistic": ("logistic", masks_logistic),
    "scratch": ("3-D CNN", network),
}
"""Row -> what learns, and how."""


def by_forest(study: Study, features: Features) -> Told:
    """Each fold's forest on a few numbers of each case. Raises: ValueError where a fold has nothing to learn from."""
    told: Told = {}
    for fold in study.folds:
        diseased = _diseased(fold)
        found = Forest(features)(fold.train, diseased, fold.test)
        if found is None:
            raise ValueError(
                f"{study.name}: nothing to learn from in a fold; expected both classes, and known numbers."
            )
        share = sum(diseased) / len(diseased)
        told |= {case.id: class_balanced(p, share) for case, p in zip(fold.test, found, strict=True)}
    return told


def _diseased(fold: Fold) -> list[int]:
    return [int(is_diseased(case)) for case in fold.train]
