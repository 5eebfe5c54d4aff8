"""A backbone judged on one study by linear probe and by adapters: all patients, 10 mm alone, with the heart blanked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from fedcmr.data.cases import Case
from fedcmr.data.volumes import Volumes
from fedcmr.federation.trainers import quiet
from fedcmr.models.threads import one_thread
from probing import lora
from probing.effort import Training
from probing.encoding import Agreement, Measured, encoded
from probing.frozen import Frozen, side_by_side
from probing.linear import probe
from probing.patients import Fold, Study, is_diseased
from probing.scores import Scores, scores

AS_IS, TYPICAL, BLANKED, THROUGHOUT = "all", "10 mm", "blanked", "blanked throughout"
"""All scored patients; those with slices 10 mm apart; all, with the heart blanked where they are scored (by what was
taught by whole images); all, with the heart blanked in teaching too.
"""

Told = dict[str, float]
"""Case -> class-balanced probability of disease."""

BackboneOf = Callable[[Fold], Frozen]
"""The same one for each fold, or one for each."""


@dataclass(frozen=True)
class Judged:
    """What a backbone comes to on one study.

    Args:
        told: judge -> view -> probabilities of everybody who was scored.
        encodes: measure -> agreement.
    """

    told: Mapping[str, Mapping[str, Told]]
    encodes: Agreement


def judged(study: Study, backbone_of: BackboneOf, truth: Measured, training: Training, is_blanked: bool) -> Judged:
    """By the linear probe and by adapters.

    Args:
        truth: case -> measures.
        is_blanked: whether patients are scored with the heart blanked as well.
    """
    with one_thread(), quiet():
        with side_by_side() as pool:
            frozen_of = list(pool.map(backbone_of, study.folds))
        told = {
            "linear": linear(study, frozen_of, is_blanked),
            "lora": adapted(study, frozen_of, training, is_blanked),
        }
        return Judged(told, encoded(study, frozen_of, truth))


def of_views(study: Study, told: Mapping[str, Told]) -> dict[str, Scores]:
    """Scores of every view, and those of patients with slices of 10 mm."""
    typical = study.with_typical_slices()
    found = {view: scores(study.tested, own) for view, own in told.items()}
    return {**found, TYPICAL: scores([case for case in study.tested if case.id in typical], told[AS_IS])}


def linear(study: Study, frozen_of: Sequence[Frozen], is_blanked: bool) -> dict[str, Told]:
    """View -> what the linear probe tells, all folds together."""
    sights = {AS_IS: (study.volumes, study.volumes)}
    if is_blanked:
        sights |= {BLANKED: (study.volumes, study.blanked), THROUGHOUT: (study.blanked, study.blanked)}
    told: dict[str, Told] = {view: {} for view in sights}
    for (view, sight), (fold, frozen) in product(sights.items(), zip(study.folds, frozen_of, strict=True)):
        told[view] |= _linear(fold, frozen, *sight)
    return told


def _linear(fold: Fold, frozen: Frozen, taught: Volumes, scored: Volumes) -> Told:
    labels = np.array([int(is_diseased(case)) for case in fold.train])
    fitted = probe(frozen.table(taught, fold.train), labels, [case.patient for case in fold.train])
    return _by_case(fold.test, fitted.predict_proba(frozen.table(scored, fold.test))[:, 1].tolist())


def adapted(study: Study, frozen_of: Sequence[Frozen], training: Training, is_blanked: bool) -> dict[str, Told]:
    """View -> what adapted backbones tell, all folds together, mean over seeds.

    Folds and seeds are trained side by side, one thread each, so results do not depend on the number of cores.
    """
    sights = {AS_IS: study.volumes} | ({BLANKED: study.blanked} if is_blanked else {})
    for volumes, (fold, frozen) in product(sights.values(), zip(study.folds, frozen_of, strict=True)):
        frozen.table(volumes, fold.test)  # side by side as well
    jobs = [(*pair, seed) for pair in zip(study.folds, frozen_of, strict=True) for seed in range(training.seeds)]

    def train(job: tuple[Fold, Frozen, int]) -> dict[str, Told]:
        fold, frozen, seed = job
        model = lora.adapt(frozen, fold, study.volumes, training.epochs, seed)
        return {view: lora.told(model, frozen, fold.test, volumes) for view, volumes in sights.items()}

    with side_by_side() as pool:
        trained = list(pool.map(train, jobs))
    told: dict[str, Told] = {view: dict.fromkeys((case.id for case in study.tested), 0.0) for view in sights}
    for found in trained:
        for view, own in found.items():
            for id, p in own.items():
                told[view][id] += p / training.seeds
    return told


def _by_case(cases: Sequence[Case], probabilities: Sequence[float]) -> Told:
    return {case.id: p for case, p in zip(cases, probabilities, strict=True)}
