"""How hard the phantom is, judged by controls alone, before any federated run: what its drawn truth, its scanners
and its vendors tell.

    python experiments/phantom_difficulty.py [--check]

For development seeds 0 to 2 a random forest learns disease against NOR on the training cohort and is scored on the
test cohort (AUROC):
    anatomy        volumes, ejection fractions, mass and wall as drawn, body size, sex       wanted 0.90 to 0.96
    acquisition    every parameter of the scan, inside one vendor, mean over vendors and     wanted <= 0.55
                   over both ways of exchanging training and test cohort
    ..._of_many    the same on cohorts eight times as large, where chance is small           wanted <= 0.52
    vendor         the vendor's name alone, scored on the training cohort itself             wanted <= 0.65
Figures go to phantom_difficulty.json beside this file with a hash of the generator's version and the knobs; --check
compares instead of writing and exits with 1 where a figure has left its range or the record is of another generator.
No image is made. Three minutes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from fedcmr.data.phantom import GENERATOR, Knobs, cohort_key, cohorts
from fedcmr.data.phantoms.cohort import Patient
from fedcmr.data.phantoms.subject import acquisition, anatomy, draw_scan, draw_subject, identity

RECORD = Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2)
RANGES = {
    "anatomy": (0.90, 0.96),
    "acquisition": (0.0, 0.55),
    "acquisition_of_many": (0.0, 0.52),
    "vendor": (0.0, 0.65),
}
Described = Mapping[str, str | float | int]


def main() -> int:
    parser = argparse.ArgumentParser(description="Controls of the phantom's difficulty.")
    parser.add_argument("--check", action="store_true", help="compare with the record instead of writing it")
    check = parser.parse_args().check
    measured = measure(SEEDS)
    print(json.dumps(measured, indent=2))
    faults = [
        f"{name} {measured['mean'][name]:.3f} is outside {low} to {high}"
        for name, (low, high) in RANGES.items()
        if not low <= measured["mean"][name] <= high
    ]
    if check and json.loads(RECORD.read_text())["keys"] != measured["keys"]:
        faults.append(f"{RECORD.name} records another generator or other knobs; run without --check")
    if not check:
        RECORD.write_text(json.dumps(measured, indent=2) + "\n")
    print("\n".join(faults) or "all controls within their ranges")
    return 1 if faults else 0


def measure(seeds: Sequence[int]) -> dict:
    """Controls of every seed and their means, beside what they were measured on."""
    by_seed = {str(seed): controls(Knobs(seed=seed)) for seed in seeds}
    names = sorted(next(iter(by_seed.values())))
    return {
        "generator": GENERATOR,
        "keys": {str(seed): [cohort_key(Knobs(seed=seed), part) for part in ("training", "testing")] for seed in seeds},
        "seeds": by_seed,
        "mean": {name: round(float(np.mean([figures[name] for figures in by_seed.values()])), 4) for name in names},
    }


def controls(knobs: Knobs) -> dict[str, float]:
    """AUROC of each control for one cohort, and of some of its parts."""
    plan = cohorts(knobs)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        train = list(pool.map(describe, plan["training"], chunksize=8))
        test = list(pool.map(describe, plan["testing"], chunksize=8))
    diseased = {
        v: np.mean([r["group"] != "NOR" for r in train if r["vendor"] == v])
        for v in {str(row["vendor"]) for row in train}
    }
    truth = [r["group"] != "NOR" for r in train]
    figures = {
        "anatomy": forest_auroc(train, test, "anatomy"),
        "person": forest_auroc(train, test, "person"),
        "acquisition": inside_vendors(train, test),
        "acquisition_of_many": inside_vendors(
            *(scans(replace(knobs, scale=0.25, test_per_vendor=640), part) for part in plan)
        ),
        "vendor": float(roc_auc_score(truth, [diseased[str(r["vendor"])] for r in train])),
    }
    for group in ("DCM", "HCM", "MINF", "ARV"):
        figures[f"anatomy_{group}"] = forest_auroc(train, [r for r in test if r["group"] in ("NOR", group)], "anatomy")
    return {name: round(value, 4) for name, value in figures.items()}


def inside_vendors(train: Sequence[Described], test: Sequence[Described]) -> float:
    """AUROC of the scan's parameters inside each vendor, mean over vendors and over both ways of exchanging the
    cohorts.
    """
    found = []
    for vendor in sorted({str(row["vendor"]) for row in train}):
        one, other = ([row for row in rows if row["vendor"] == vendor] for rows in (train, test))
        # both ways round, because 80 patients alone leave a standard error of 0.065
        found += [forest_auroc(one, other, "scan"), forest_auroc(other, one, "scan")]
    return float(np.mean(found))


def scans(knobs: Knobs, part: str) -> list[Described]:
    """The scans alone of one part, for cohorts too large to build every heart."""
    return [
        {"vendor": patient.vendor, "group": patient.group}
        | {f"scan.{name}": value for name, value in acquisition(draw_scan(patient)).items()}
        for patient in cohorts(knobs)[part]
    ]


def describe(patient: Patient) -> Described:
    """One flat row: anatomy under "anatomy.…", the scan under "scan.…", the rest of the person under "person.…"."""
    subject = draw_subject(patient)
    who = identity(subject)
    person = {name: who[name] for name in ("age", "height", "weight")} | {"male": float(who["sex"] == "M")}
    flat = {"vendor": who["vendor"], "group": who["group"]}
    flat |= {f"anatomy.{name}": value for name, value in (anatomy(subject) | {"male": person["male"]}).items()}
    flat |= {f"scan.{name}": value for name, value in acquisition(subject.scan).items()}
    return flat | {f"person.{name}": value for name, value in person.items()}


def forest_auroc(train: Sequence[Described], test: Sequence[Described], kind: str) -> float:
    """AUROC on `test` of a forest that learned disease from the columns of one kind on `train`."""
    columns = [name for name in train[0] if name.startswith(f"{kind}.")]

    def table(rows: Sequence[Described]) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[float(r[c]) for c in columns] for r in rows]), np.array([r["group"] != "NOR" for r in rows])

    forest = RandomForestClassifier(500, min_samples_leaf=3, class_weight="balanced", random_state=0)
    features, labels = table(train)
    unseen, truth = table(test)
    return float(roc_auc_score(truth, forest.fit(features, labels).predict_proba(unseen)[:, 1]))


if __name__ == "__main__":
    sys.exit(main())
