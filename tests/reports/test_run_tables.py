"""What is printed in a terminal."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from fedcmr.reports.summary import About, summarise
from fedcmr.reports.tables import headline, print_roles, print_run

CONTROL = {"auroc": 0.5, "balanced_accuracy": 0.5, "accuracy": 0.8, "n": 9}


@dataclass(frozen=True)
class Row:
    group: str
    role: str
    parameters: int
    bytes_up: int


@pytest.fixture
def summary(task, rows, make_round, about) -> dict[str, object]:
    """As it is read from its file."""
    said: About = replace(
        about,
        controls={
            "always_disease": CONTROL,
            "height_weight": None,
            "heart_blanked": {"overall": {"personal": CONTROL}},
        },
        subset_controls={"slice_10mm": {"always_disease": CONTROL}},
        provenance=("Backbone tiny: seeded random weights, not pre-trained.", "Sites are simulated."),
    )
    return json.loads(json.dumps(summarise(task, said, rows, [make_round(1), make_round(2)])))


def printed(show: Callable[[Console], None], width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show(console)
    return console.export_text()


def test_the_result_fits_a_log_of_80_columns_and_says_everything(summary):
    text = printed(lambda console: print_run(console, summary))
    assert "…" not in text
    lines = text.splitlines()
    of_a = next(line for line in lines if line.startswith("vendorA")).split()
    assert of_a == ["vendorA", "4", "personal", "0.750", "0.500", "1.000", "1.000"]
    of_c = next(line for line in lines if line.startswith("vendorC")).split()
    assert of_c == ["vendorC", "2", "personal", "-", "-", "0.500", "-"]
    assert "Balanced accuracy, mean over vendorA, vendorB: 0.750 (personal) and 0.750 (global)" in lines
    assert "The round chosen on validation (1) has 0.750 (personal) and - (global)." in lines
    for said in ("not pre-trained", "Sites are simulated.", "Warning: vendorC: all test patients are disease"):
        assert said in text
    assert "2 updates were refused" in text


def test_controls_stand_beneath_and_beside_the_model_over_the_same_patients(summary):
    lines = printed(lambda console: print_run(console, summary)).splitlines()
    for name, values in {
        "always disease": "9 0.500 0.500 0.800",
        "height weight": "- - - -",
        "heart blanked": "9 0.500 0.500 0.800",
        "the model (personal)": "9 0.667 0.833 0.667",
    }.items():
        assert next(line for line in lines if line.startswith(name)).removeprefix(name).split() == values.split()


def test_a_subset_has_a_line_with_its_own_controls(summary):
    text = printed(lambda console: print_run(console, summary))
    assert "Of the 2 patients in slice_10mm alone: 1.000 (personal)" in text
    assert "controls: always disease 0.500." in text


def test_without_clients_of_both_classes_the_headline_says_so(summary):
    none = {**summary, "mean_over": [], "mean": {}}
    assert headline(none) == "Balanced accuracy, mean over no client: - (personal) and - (global)"


def test_roles_are_added_up():
    rows = [Row("stem", "frozen", 1234, 0), Row("global", "shared", 100, 400), Row("head", "shared", 10, 40)]
    lines = printed(lambda console: print_roles(console, rows)).splitlines()
    assert next(line for line in lines if line.startswith("stem")).split() == ["stem", "frozen", "1,234", "-"]
    assert next(line for line in lines if line.startswith("all shared")).split() == [
        "all",
        "shared",
        "shared",
        "110",
        "440",
    ]
    assert next(line for line in lines if line.startswith("all private")).split() == [
        "all",
        "private",
        "private",
        "0",
        "-",
    ]
