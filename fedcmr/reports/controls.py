"""What could be scored without looking at a heart: numbers that a model has to beat before it has shown anything.

    always_disease         every patient is called diseased
    vendor_only            p = share of diseased among the client's own patients
    acquisition_geometry   forest on slices, rows, columns, pixel, slice distance and intensity maximum of the file
    height_weight          forest on height and weight, with medians where one is missing and a mark that it is

A table adds one that looks at nothing but masks, where there are any:

    volumes_and_ef         forest on volumes, ejection fractions and mass, counted in the reference masks

The fitted ones learn from the training and validation patients of all clients (there is nothing to choose, so all that
are not tested may teach), are scored on test patients (with folds: each patient in the fold that tests it, pooled) and
call a patient diseased where p is at least the share of diseased among those they learned from: a threshold of 0.5
would call nearly everybody diseased where most are. With diagnoses as labels they still tell healthy from diseased.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fedcmr.data.cases import Case
from fedcmr.data.splits import Split
from fedcmr.tasks.task import Scores, Task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

METRICS = ("auroc", "balanced_accuracy", "accuracy", "n")
TREES = 200
"""Of each forest: enough for the second decimal of an AUROC on 100 patients, in under a second (our choice)."""


class Acquisition(Protocol):
    """What a file's header and its brightest voxel say, see fedcmr/data/preparing.py."""

    @property
    def slices(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def pixel_mm(self) -> float: ...
    @property
    def slice_mm(self) -> float: ...
    @property
    def intensity_max(self) -> float: ...


Features = Callable[[Case], tuple[float, ...]]
Judge = Callable[[Sequence[Case], Sequence[int], Sequence[Case]], list[float] | None]
"""(cases to learn from, diseased or not, test cases) -> probabilities of disease; None where none can be learned."""


def everybody(case: Case) -> bool:
    """Every test patient counts."""
    return True


def controls(
    folds: Sequence[Mapping[str, Split]],
    task: Task,
    geometry_of: Callable[[Case], Acquisition],
    counts: Callable[[Case], bool] = everybody,
) -> dict[str, object]:
    """The four controls, each {"auroc", "balanced_accuracy", "accuracy", "n"}; null metrics where one class is missing.

    Args:
        folds: client -> Split, one for each fold; a single one without folds. All cases are labelled.
        geometry_of: how a case was acquired.
        counts: which test patients are scored, for example those with slices of 10 mm; all the others still teach.
    Returns null for a control that nothing can be learned for: no heights and weights, one class to learn from.
    """
    judges: dict[str, Judge] = {
        "always_disease": _always,
        "vendor_only": _by_client,
        "acquisition_geometry": Forest(lambda case: acquired(geometry_of(case))),
        "height_weight": Forest(body),
    }
    return {name: scores_of(folds, task, judge, counts) for name, judge in judges.items()}


def acquired(said: Acquisition) -> tuple[float, ...]:
    """All that is known of an acquisition, as numbers."""
    return (said.slices, said.rows, said.columns, said.pixel_mm, said.slice_mm, said.intensity_max)


def body(case: Case) -> tuple[float, ...]:
    """Height (cm) and weight (kg); NaN where the table does not say."""
    return tuple(float("nan") if value is None else value for value in (case.height_cm, case.weight_kg))


@dataclass(frozen=True)
class Forest:
    """A random forest of a fixed seed on a few numbers of each case.

    Args:
        features: case -> numbers, NaN where one is unknown.
    """

    features: Features

    def __call__(self, train: Sequence[Case], diseased: Sequence[int], test: Sequence[Case]) -> list[float] | None:
        import numpy as np

        known = np.array([self.features(case) for case in train])
        if len(set(diseased)) < 2 or np.isnan(known).all():
            return None
        fitted = self._pipeline().fit(known, list(diseased))
        return [float(row[1]) for row in fitted.predict_proba(np.array([self.features(case) for case in test]))]

    def _pipeline(self) -> "Pipeline":
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline

        return make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
            RandomForestClassifier(n_estimators=TREES, random_state=0, n_jobs=1),
        )


def _always(train: Sequence[Case], diseased: Sequence[int], test: Sequence[Case]) -> list[float]:
    return [1.0] * len(test)


def _by_client(train: Sequence[Case], diseased: Sequence[int], test: Sequence[Case]) -> list[float]:
    of_client: dict[str, list[int]] = {}
    for case, label in zip(train, diseased, strict=True):
        of_client.setdefault(case.client, []).append(label)
    shares = {client: sum(labels) / len(labels) for client, labels in of_client.items()}
    return [shares[case.client] for case in test]


def scores_of(
    folds: Sequence[Mapping[str, Split]], task: Task, judge: Judge, counts: Callable[[Case], bool] = everybody
) -> Scores | None:
    """One control's metrics over all test patients; None where nothing can be learned. Arguments as `controls`."""
    labels: list[int] = []
    rows: list[tuple[float, float]] = []
    decided: list[int] = []
    for fold in folds:
        train = [case for split in fold.values() for case in (*split.train, *split.val)]
        test = [case for split in fold.values() for case in split.test if counts(case)]
        diseased = [_is_diseased(task, case) for case in train]
        if not test:
            continue
        judged = judge(train, diseased, test)
        if judged is None:
            return None
        threshold = sum(diseased) / len(diseased)
        labels += [_is_diseased(task, case) for case in test]
        rows += [(1 - p, p) for p in judged]
        decided += [int(p >= threshold) for p in judged]
    found = task.scores_of(labels, rows, decided)
    return {name: found[name] for name in METRICS}


def _is_diseased(task: Task, case: Case) -> int:
    label = task.label(case.group)
    assert label is not None, f"{case.id} has no label"
    return int(label > 0)
