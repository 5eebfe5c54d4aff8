"""AUROC and balanced accuracy with intervals by bootstrap over patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcmr.data.cases import Case
from probing.patients import is_diseased

DRAWS = 2000
SEED = 0
THRESHOLD = 0.5


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; all None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


UNDEFINED = Interval(None, None, None)


@dataclass(frozen=True)
class Scores:
    """What P patients come to.

    Args:
        auroc: of the probabilities.
        balanced_accuracy: of calling diseased whoever reaches 0.5 of a class-balanced probability.
        n, diseased: how many.
    """

    auroc: Interval
    balanced_accuracy: Interval
    n: int
    diseased: int


def scores(cases: Sequence[Case], told: Mapping[str, float]) -> Scores:
    """Scores of these cases.

    Intervals are percentiles 2.5 and 97.5 over 2000 draws of patients with replacement, seed 0; studies of one patient
    are drawn together. Draws with one class do not count.

    Args:
        told: case -> class-balanced probability of disease.
    """
    diseased = sum(map(is_diseased, cases))
    if not 0 < diseased < len(cases):
        return Scores(UNDEFINED, UNDEFINED, len(cases), diseased)
    auroc_B, balanced_B = _drawn(cases, told)
    return Scores(_interval(auroc_B), _interval(balanced_B), len(cases), diseased)


def gain(cases: Sequence[Case], told: Mapping[str, float], by_other: Mapping[str, float]) -> Interval:
    """AUROC of `told` less that of `by_other`, paired: both are scored on the same draws of patients."""
    if not 0 < sum(map(is_diseased, cases)) < len(cases):
        return UNDEFINED
    return _interval(_drawn(cases, told)[0] - _drawn(cases, by_other)[0])


def class_balanced(p: float, share: float) -> float:
    """A probability that was learned where this share was diseased, as it would be where half are: 0.5 at p = share."""
    for_disease, against = p * (1 - share), (1 - p) * share
    return for_disease / (for_disease + against)


def _drawn(cases: Sequence[Case], told: Mapping[str, float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AUROC and balanced accuracy, (1 + 2000,) each: of the cases as they are, and of each draw."""
    p_P = np.array([told[case.id] for case in cases])
    sick_P = np.array([is_diseased(case) for case in cases])
    drawn_BP = np.concatenate([np.ones((1, len(cases))), _draws([case.patient for case in cases])])
    won_PQ = _won(p_P[sick_P], p_P[~sick_P])
    hit_P = (p_P >= THRESHOLD) == sick_P
    sick_BP, well_BQ = drawn_BP[:, sick_P], drawn_BP[:, ~sick_P]
    sick_B, well_B = sick_BP.sum(1), well_BQ.sum(1)
    with np.errstate(invalid="ignore"):
        auroc_B = np.einsum("bp,pq,bq->b", sick_BP, won_PQ, well_BQ, optimize=True) / (sick_B * well_B)
        balanced_B = (sick_BP @ hit_P[sick_P] / sick_B + well_BQ @ hit_P[~sick_P] / well_B) / 2
    return auroc_B, balanced_B


def _won(sick_P: NDArray[np.float64], well_Q: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where the diseased of a pair has the greater probability, ½ where both are equal."""
    return (sick_P[:, None] > well_Q).astype(float) + 0.5 * (sick_P[:, None] == well_Q)


def _draws(patients: Sequence[str]) -> NDArray[np.float64]:
    """How often each case is drawn, (2000, P)."""
    names, index_P = np.unique(np.array(patients), return_inverse=True)
    random = np.random.default_rng(SEED)
    return random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=DRAWS)[:, index_P].astype(float)


def _interval(value_B: NDArray[np.float64]) -> Interval:
    """The first is the value itself, the others are its draws."""
    low, high = np.nanpercentile(value_B[1:], (2.5, 97.5))
    return Interval(float(value_B[0]), float(low), float(high))
