"""The table of patients counts each class of each client."""

import io
from pathlib import Path

from rich.console import Console

from fedcmr.data.cases import Case, Frame
from fedcmr.data.splits import Split
from fedcmr.reports.patients import print_patients

FRAME = Frame(Path("made"), None, None)


def cases(*groups: str) -> tuple[Case, ...]:
    return tuple(
        Case(f"{number}", "vendorA", group, FRAME, FRAME, "training", (1, 2, 3), "made")
        for number, group in enumerate(groups)
    )


def printed(folds: int) -> str:
    split = Split(cases("NOR", "DCM", "DCM"), cases("NOR"), ())
    console = Console(file=io.StringIO(), width=120)
    print_patients(console, [{"vendorA": split}] * folds, lambda case: case.group, ("NOR", "DCM"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_each_class_is_counted_in_training_validation_and_test() -> None:
    (row,) = [line for line in printed(1).splitlines() if line.startswith("vendorA")]
    assert " ".join(row.split()) == "vendorA 3 (1 NOR, 2 DCM) 1 (1 NOR, 0 DCM) 0 (0 NOR, 0 DCM)"


def test_with_folds_the_first_is_shown_and_said_to_be() -> None:
    assert "Patients of fold 1 of 5" in printed(5)
    assert "fold" not in printed(1)
