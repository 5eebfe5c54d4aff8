"""Controls against values worked out by hand."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedcmr.data.cases import Case, Frame
from fedcmr.data.splits import Split
from fedcmr.reports.controls import Forest, body, controls
from fedcmr.tasks.detection import Knobs, build

NOWHERE = Frame(Path("image.nii.gz"), None, None)


@dataclass(frozen=True)
class Geometry:
    slices: int = 10
    rows: int = 256
    columns: int = 256
    pixel_mm: float = 1.5
    slice_mm: float = 10.0
    intensity_max: float = 255.0


def patient(id: str, client: str, group: str, **known: float) -> Case:
    return Case(id, client, group, NOWHERE, NOWHERE, "training", (3, 2, 1), "phantom", **known)


def patients(name: str, client: str, healthy: int, sick: int, **known: float) -> tuple[Case, ...]:
    groups = ["NOR"] * healthy + ["DCM"] * sick
    return tuple(patient(f"{name}{index}", client, group, **known) for index, group in enumerate(groups))


@pytest.fixture
def fold() -> dict[str, Split]:
    # diseased in training: A 3 of 4, B 1 of 4, pooled 1/2
    return {
        "vendorA": Split(patients("a", "vendorA", 1, 3), (), patients("x", "vendorA", 1, 2)),
        "vendorB": Split(patients("b", "vendorB", 3, 1), (), patients("y", "vendorB", 2, 1)),
    }


def task():
    return build(Knobs()).with_labels("disease", ["NOR", "DCM"])


def test_always_disease_is_right_as_often_as_patients_are_diseased(fold):
    found = controls([fold], task(), lambda case: Geometry())["always_disease"]
    assert found == {"auroc": 0.5, "balanced_accuracy": 0.5, "accuracy": 0.5, "n": 6}


def test_the_vendor_alone_says_what_its_training_patients_had(fold):
    found = controls([fold], task(), lambda case: Geometry())["vendor_only"]
    # A's three patients are called diseased (3/4 ≥ 1/2), B's healthy: two of three right each
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    # of 9 pairs: 4 right, 4 tied (2 diseased × 1 healthy at A, 1 × 2 at B), 1 wrong
    assert found["auroc"] == pytest.approx((4 + 4 / 2) / 9)
    assert found["n"] == 6


def test_the_geometry_is_learned_where_it_tells_the_disease(fold):
    telling = controls([fold], task(), lambda case: Geometry(slice_mm=5.0 if case.group == "DCM" else 10.0))
    assert telling["acquisition_geometry"] == {"auroc": 1.0, "balanced_accuracy": 1.0, "accuracy": 1.0, "n": 6}
    silent = controls([fold], task(), lambda case: Geometry())
    assert silent["acquisition_geometry"]["auroc"] == 0.5


def test_without_heights_and_weights_there_is_no_such_control(fold):
    assert controls([fold], task(), lambda case: Geometry())["height_weight"] is None


def test_a_missing_weight_is_a_median_with_a_mark():
    train = [
        *patients("a", "vendorA", 3, 0, height_cm=170.0),
        *patients("b", "vendorA", 0, 3, height_cm=170.0, weight_kg=80.0),
    ]
    test = [
        patient("x", "vendorA", "DCM", height_cm=170.0, weight_kg=80.0),
        patient("y", "vendorA", "NOR", height_cm=170.0),
    ]
    known, missing = Forest(body)(train, [0, 0, 0, 1, 1, 1], test)
    assert known > 0.9
    assert missing < 0.1


def test_validation_patients_teach_too(fold):
    moved = {client: Split((), split.train, split.test) for client, split in fold.items()}
    assert controls([moved], task(), lambda case: Geometry()) == controls([fold], task(), lambda case: Geometry())


def test_one_class_in_training_or_test_gives_null():
    alone = {"vendorA": Split(patients("a", "vendorA", 0, 3), (), patients("x", "vendorA", 0, 2))}
    found = controls([alone], task(), lambda case: Geometry())
    assert found["acquisition_geometry"] is None
    assert found["vendor_only"] == {"auroc": None, "balanced_accuracy": None, "accuracy": 1.0, "n": 2}


def test_folds_are_pooled_each_at_its_own_threshold(fold):
    turned = {
        client: Split(split.train, (), tuple(patient(f"{case.id}'", case.client, case.group) for case in split.test))
        for client, split in fold.items()
    }
    found = controls([fold, turned], task(), lambda case: Geometry())["vendor_only"]
    assert found["n"] == 12
    assert found["balanced_accuracy"] == pytest.approx(2 / 3)


def test_only_the_patients_that_count_are_scored(fold):
    found = controls([fold], task(), lambda case: Geometry(), counts=lambda case: case.client == "vendorB")
    assert found["always_disease"]["n"] == 3
    assert controls([fold], task(), lambda case: Geometry(), counts=lambda case: False)["always_disease"]["n"] == 0


def test_diagnoses_are_judged_as_healthy_or_diseased(fold):
    groups = build(Knobs()).with_labels("group", ["NOR", "DCM", "HCM"])
    assert controls([fold], groups, lambda case: Geometry()) == controls([fold], task(), lambda case: Geometry())


def test_the_same_patients_give_the_same_controls(fold):
    def uneven(case: Case) -> Geometry:
        return Geometry(rows=200 + sum(map(ord, case.id)) % 50)

    assert json.dumps(controls([fold], task(), uneven)) == json.dumps(controls([fold], task(), uneven))
