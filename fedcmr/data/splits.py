"""Who trains, who validates, who tests: functions of SHA-256(data.split_seed, patient) alone.

Within a stratum (client and label) patients are ranked by their hash and the ranking of n patients is cut where
rank · K / n passes a whole number, so a new patient moves at most one patient across each cut. Folds and sites are
numbered from an offset that is drawn per stratum: without it the spare patients of every stratum would fall to the
first fold. Studies of one person (`Case.patient`) go together. Cases without a group take no part.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate

from fedcmr.data.cases import Case, listed

RULES = ("official", "vendor", "folds")
TRAIN, VAL, TEST = "train", "val", "test"
THREE_QUARTERS = ((TRAIN, Fraction(3, 4)), (VAL, Fraction(1, 4)))
THREE_FIFTHS = ((TRAIN, Fraction(3, 5)), (VAL, Fraction(1, 5)), (TEST, Fraction(1, 5)))

LabelOf = Callable[[Case], str]


@dataclass(frozen=True)
class Split:
    """One client's cases by what they are used for; each in the order of their ids."""

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]


def default_split(name: str, cases: Sequence[Case]) -> tuple[str, int]:
    """(rule, folds) of a data set where the user names none: official test cohorts where they serve, else five folds.

    Args:
        name: entry of the catalogue: "phantom", "acdc", "mnms", "mnms2", "vendors".
    """
    has_test = any(case.part == "testing" for case in cases)
    return ("official", 1) if name in ("phantom", "acdc") and has_test else ("folds", 5)


def divide_into_sites(cases: Sequence[Case], sites: int, split_seed: int) -> list[Case]:
    """The same cases with clients `site1` … `siteK`: simulated, with no difference between sites but chance.

    Each official part and group is divided evenly; official test patients are divided like the others.

    Args:
        sites: K >= 1.
    Raises: ValueError where K < 1 or K exceeds the number of patients.
    """
    patients = {case.patient for case in cases}
    if not 1 <= sites <= max(len(patients), 1):
        raise ValueError(f"data.sites={sites}; expected 1 to {len(patients)}, the number of patients.")
    strata = _strata(cases, lambda case: f"{case.part}/{case.group}")
    site = _numbers(strata, sites, split_seed, "site")
    return [replace(case, client=f"site{site[case.patient] + 1}") for case in cases]


def split_cases(
    cases: Sequence[Case], rule: str, folds: int, split_seed: int, label_of: LabelOf
) -> list[dict[str, Split]]:
    """One dictionary (client -> Split) per fold; a single one where there are no folds.

    Args:
        rule: "official": official test patients test. Where the data set has an official validation part, that part
            validates and the training part trains; else the remaining patients of each client and label are divided
            75/25. "vendor": 60/20/20 of each client and label, whatever the official parts. "folds": fold f tests, the
            rest of each client and label is divided 75/25; each patient is tested once.
        folds: >= 2 for the rule "folds", else 0 or 1.
        label_of: the word by which to stratify, for example "NOR" or "disease". Not asked for cases without a group.
    Raises: ValueError on an unknown rule, folds that do not fit it, no labelled case, or a client without patients to
        train, to validate or (without folds) to test on, naming all such clients and the clients that could be used
        instead.
    """
    if rule not in RULES:
        raise ValueError(f"data.split={rule}; expected one of {', '.join(RULES)}.")
    if (rule == "folds") != (folds >= 2):
        raise ValueError(
            f"data.split={rule} with data.folds={folds}; the rule 'folds' needs 2 or more, the others none."
        )
    labelled = sorted((case for case in cases if case.group), key=lambda case: case.id)
    if not labelled:
        raise ValueError("No patient has a diagnosis; nothing can be split for training and testing.")
    if rule == "folds":
        sides = [_fold_sides(labelled, fold, folds, split_seed, label_of) for fold in range(folds)]
    elif rule == "vendor":
        sides = [_shared_out(labelled, THREE_FIFTHS, split_seed, label_of)]
    else:
        sides = [_official_sides(labelled, split_seed, label_of)]
    clients = sorted({case.client for case in cases})
    needed = (TRAIN, VAL) if rule == "folds" else (TRAIN, VAL, TEST)
    splits = [{client: _split(labelled, side, client) for client in clients} for side in sides]
    _refuse_empty(splits, rule, needed)
    return splits


def single_class(splits: Iterable[dict[str, Split]], label_of: LabelOf) -> list[tuple[str, str, str]]:
    """(client, side, label) wherever all of a client's patients on one side have one label: a warning, not an error.

    A side of one fold counts only for training and validation; for testing the folds of a client count together.
    """
    found = set()
    tested: dict[str, set[str]] = {}
    for fold in splits:
        for client, split in fold.items():
            tested.setdefault(client, set()).update(label_of(case) for case in split.test)
            for side, cases in ((TRAIN, split.train), (VAL, split.val)):
                labels = {label_of(case) for case in cases}
                if len(labels) == 1:
                    found.add((client, side, labels.pop()))
    found.update((client, TEST, labels.pop()) for client, labels in tested.items() if len(labels) == 1)
    return sorted(found)


def _official_sides(cases: Sequence[Case], split_seed: int, label_of: LabelOf) -> dict[str, str]:
    tested = {case.patient for case in cases if case.part == "testing"}
    rest = [case for case in cases if case.patient not in tested]
    if any(case.part == "validation" for case in rest):
        validated = {case.patient for case in rest if case.part == "validation"}
        sides = {case.patient: VAL if case.patient in validated else TRAIN for case in rest}
    else:
        sides = _shared_out(rest, THREE_QUARTERS, split_seed, label_of)
    return sides | dict.fromkeys(tested, TEST)


def _fold_sides(cases: Sequence[Case], fold: int, folds: int, split_seed: int, label_of: LabelOf) -> dict[str, str]:
    strata = _strata(cases, lambda case: f"{case.client}/{label_of(case)}")
    fold_of = _numbers(strata, folds, split_seed, "fold")
    rest = [case for case in cases if fold_of[case.patient] != fold]
    tested = [patient for patient, own in fold_of.items() if own == fold]
    return _shared_out(rest, THREE_QUARTERS, split_seed, label_of) | dict.fromkeys(tested, TEST)


def _shared_out(
    cases: Sequence[Case], shares: Sequence[tuple[str, Fraction]], split_seed: int, label_of: LabelOf
) -> dict[str, str]:
    """patient -> side: the ranking of each stratum is cut in contiguous parts; rank r of n stands at (r + ½) / n."""
    sides = {}
    for members in _strata(cases, lambda case: f"{case.client}/{label_of(case)}").values():
        ranked = _ranked(members, split_seed, "split")
        for rank, patient in enumerate(ranked):
            place = Fraction(2 * rank + 1, 2 * len(ranked))
            ends = accumulate(share for _, share in shares)
            sides[patient] = next(side for (side, _), end in zip(shares, ends, strict=True) if place < end)
    return sides


def _strata(cases: Sequence[Case], key: Callable[[Case], str]) -> dict[str, set[str]]:
    """stratum -> its patients. A patient with several studies counts once, in the stratum of the first by id."""
    strata: dict[str, set[str]] = {}
    seen: set[str] = set()
    for case in sorted(cases, key=lambda case: case.id):
        if case.patient not in seen:
            seen.add(case.patient)
            strata.setdefault(key(case), set()).add(case.patient)
    return strata


def _ranked(patients: Iterable[str], split_seed: int, salt: str) -> list[str]:
    return sorted(patients, key=lambda patient: _digest(split_seed, salt, patient))


def _numbers(strata: Mapping[str, set[str]], K: int, split_seed: int, salt: str) -> dict[str, int]:
    """patient -> 0 … K-1: the ranking of each stratum is cut in K contiguous parts, counted from its offset."""
    numbers = {}
    for stratum, members in strata.items():
        offset = int(_digest(split_seed, "offset", f"{salt}/{stratum}"), 16)
        for rank, patient in enumerate(_ranked(members, split_seed, salt)):
            numbers[patient] = (rank * K // len(members) + offset) % K
    return numbers


def _digest(split_seed: int, salt: str, word: str) -> str:
    return hashlib.sha256(f"{split_seed}|{salt}|{word}".encode()).hexdigest()


def _split(cases: Sequence[Case], sides: dict[str, str], client: str) -> Split:
    own = [case for case in cases if case.client == client]
    train, val, test = (tuple(case for case in own if sides[case.patient] == side) for side in (TRAIN, VAL, TEST))
    return Split(train, val, test)


def _refuse_empty(splits: Sequence[dict[str, Split]], rule: str, needed: Sequence[str]) -> None:
    clients = list(splits[0])
    faults = {
        client: missing
        for client in clients
        if (missing := [side for side in needed if not all(getattr(fold[client], side) for fold in splits)])
    }
    if faults:
        words = {TRAIN: "train", VAL: "validate", TEST: "test"}
        said = [
            f"{client} has no labelled patients to {' and '.join(words[side] for side in missing)} on"
            for client, missing in faults.items()
        ]
        good = [client for client in clients if client not in faults]
        remedy = f"Use --clients {','.join(good)}" if good else "Choose other clients"
        other = " or another data.split" if rule == "official" else ", or bring more patients"
        raise ValueError(f"data.split={rule}: {listed(said)}. {remedy}{other}.")
