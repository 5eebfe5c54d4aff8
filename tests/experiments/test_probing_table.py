"""The table, of made scores."""

from probing.encoding import ASKED
from probing.table import markdown

HALF = {"value": 0.5, "low": 0.25, "high": 0.756}
UNDEFINED = {"value": None, "low": None, "high": None}


def scores(value: dict[str, float | None]) -> dict[str, object]:
    return {"auroc": value, "balanced_accuracy": UNDEFINED, "n": 40, "diseased": 36}


RESULT = {
    "studies": {"phantom": {"is_real": False}, "ACDC": {"is_real": True}},
    "rows": {
        "ours": {
            "scores": {"ACDC": {"linear": {"all": scores(HALF), "blanked": scores(HALF)}}},
            "gain": {"ACDC": {"linear": HALF}},
            "encodes": {"ACDC": {name: {"r2": -0.5, "correlation": None} for name in ASKED}},
            "vendor": {"balanced_accuracy": 0.75, "chance": 0.25},
        },
        "masks": {"scores": {"phantom": {"forest": {"all": scores(HALF)}}}},
    },
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_what_is_there_is_shown_and_what_is_not_is_left_open():
    lines = markdown(RESULT, 3).splitlines()
    ours = [cells(line) for line in lines if line.startswith("| ours")]
    shown = "0.50 [0.25, 0.76]"
    assert ours[0] == ["ours", "linear", "–", "–", shown, "–"]
    assert ours[1] == ["ours", "linear", "–", shown]
    assert ours[2] == ["ours", "linear", "–", "–", shown, "–", "–", "–"]
    assert ours[3] == ["ours", "ACDC", *["-0.50 (–)"] * len(ASKED), "0.75 (chance 0.25)"]
    assert "phantom: 40 patients, 36 diseased; ACDC: 40 patients, 36 diseased." in lines
    assert lines[-1] == "ACDC's held-out patients were opened 3 times so far."


def test_without_real_patients_there_is_one_table_of_scores():
    result = {"studies": {"phantom": {"is_real": False}}, "rows": {"masks": RESULT["rows"]["masks"]}}
    text = markdown(result, 0)
    assert "blanked" not in text
    assert "encode" not in text
    assert text.count("| row") == 1
