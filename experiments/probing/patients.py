"""Whom a backbone is judged on: ACDC's development patients, the other 40 where they are opened, and phantoms.

Everything about phantom, recipe and backbone is chosen on the first 60 of ACDC's 100 training patients by SHA-256 of
their names. Of the others nothing is opened here, neither image nor mask nor table, unless they are asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from crop_distance import CHOSEN_ON, hashed

from fedcmr.data.acdc import read_patient
from fedcmr.data.cases import Case
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.splits import split_cases
from fedcmr.data.tables import release_folder
from fedcmr.data.twins import find_twins, join_twins
from fedcmr.data.volumes import Volumes
from fedcmr.results import TYPICAL_SLICE_MM
from fedcmr.tasks.detection import HEALTHY

FOLDS = 5
SPLIT_SEED = 0


@dataclass(frozen=True)
class Fold:
    """Who teaches, and who is scored by what they taught; no patient is on both sides."""

    train: tuple[Case, ...]
    test: tuple[Case, ...]


@dataclass(frozen=True)
class Study:
    """Patients with their images.

    Args:
        name: for the table, for example "phantom".
        volumes: their images; `blanked` are the same with the heart blanked.
        folds: nobody is scored in two of them.
        is_real: whether the patients are.
    """

    name: str
    volumes: Volumes
    folds: tuple[Fold, ...]
    is_real: bool

    @property
    def blanked(self) -> Volumes:
        return self.volumes.under(Preprocessing(blank="heart"))

    @property
    def tested(self) -> tuple[Case, ...]:
        """Everybody who is scored, fold by fold."""
        return tuple(case for fold in self.folds for case in fold.test)

    @property
    def everybody(self) -> tuple[Case, ...]:
        """Everybody, once, in the order of ids."""
        members = {case.id: case for fold in self.folds for case in (*fold.train, *fold.test)}
        return tuple(members[id] for id in sorted(members))

    def with_typical_slices(self) -> frozenset[str]:
        """Ids of the scored patients whose slices lie 10 mm apart: in ACDC other distances tell of some diagnoses."""
        low, high = TYPICAL_SLICE_MM
        return frozenset(case.id for case in self.tested if low <= self.volumes.geometry(case).slice_mm <= high)


def is_diseased(case: Case) -> bool:
    return case.group != HEALTHY


def development_study(root: Path, volumes: Volumes, count: int = CHOSEN_ON) -> Study:
    """Five folds of the development patients, stratified by group, from SHA-256 of their names; twins stay together.

    Args:
        root: ACDC's folder.
        count: how many are for development.
    """
    cases = read_joined(patient_folders(root)[:count], volumes)
    splits = split_cases(cases, "folds", FOLDS, SPLIT_SEED, lambda case: case.group)
    folds = [next(iter(fold.values())) for fold in splits]
    return Study("ACDC", volumes, tuple(Fold(_sorted((*s.train, *s.val)), s.test) for s in folds), True)


def release_study(root: Path, volumes: Volumes, count: int = CHOSEN_ON) -> Study:
    """The development patients teach, the other ones are scored, but for twins of those who teach.

    Opens everybody's files: to be called once a release, see `openings.py`.
    """
    folders = patient_folders(root)
    cases = read_joined(folders, volumes)
    taught_by = {folder.name for folder in folders[:count]}
    train = [case for case in cases if case.id in taught_by]
    known = {case.patient for case in train}
    test = [case for case in cases if case.id not in taught_by and case.patient not in known]
    return Study("ACDC held out", volumes, (Fold(_sorted(train), _sorted(test)),), True)


def patient_folders(root: Path) -> list[Path]:
    """ACDC's training patients by SHA-256 of their names. Only the names are looked at.

    Raises: ValueError where there is none.
    """
    training = release_folder(root, "database", "training") / "training"
    found = [folder for folder in training.glob("*") if folder.is_dir()]
    if not found:
        raise ValueError(f"{training}: found no patient folder; expected patient001, patient002, … Unpack ACDC there.")
    return sorted(found, key=lambda folder: hashed(folder.name))


def read_joined(folders: Sequence[Path], volumes: Volumes) -> list[Case]:
    """The cases of these folders, twins among them joined."""
    cases = [read_patient(folder) for folder in folders]
    return join_twins(cases, find_twins(cases, volumes))


def phantom_study(cases: Sequence[Case], volumes: Volumes, train: int, test: int) -> Study:
    """Phantoms of the training part teach, those of the test part are scored.

    Args:
        cases: a cohort.
        train, test: how many of each part are taken, at most; clients and groups keep their shares.
    """
    parts = {part: [case for case in cases if case.part == part] for part in ("training", "testing")}
    fold = Fold(_sample(parts["training"], train), _sample(parts["testing"], test))
    return Study("phantom", volumes, (fold,), False)


def _sample(cases: Sequence[Case], count: int) -> tuple[Case, ...]:
    """`count` cases, each client and group in proportion, those of the smallest hashes."""
    strata: dict[tuple[str, str], list[Case]] = {}
    for case in sorted(cases, key=lambda case: hashed(case.id)):
        strata.setdefault((case.client, case.group), []).append(case)
    # rank r of n stands at (r + ½) / n, so that any first part of the whole ranking holds equal shares of all strata
    place = {
        case.id: (Fraction(2 * rank + 1, 2 * len(own)), hashed(case.id))
        for own in strata.values()
        for rank, case in enumerate(own)
    }
    return _sorted(sorted(cases, key=lambda case: place[case.id])[:count])


def _sorted(cases: Sequence[Case]) -> tuple[Case, ...]:
    return tuple(sorted(cases, key=lambda case: case.id))
