"""The four tables side by side: what a cell switches, and one small course of it all."""

import json
from pathlib import Path

import pytest
from shifts import CELLS, ROWS, main, markdown, summed_up

from fedcmr.arguments import configure
from fedcmr.table import rows_asked


def made(score: float, difference: float) -> dict[str, object]:
    """A table of two rows, as far as it is read here."""
    spread = {"mean": score, "sd": 0.01, "ci95": [score - 0.02, score + 0.02]}
    plain = {"fidelity": "paper", "seeds": [0, 1], "worst_client": {}, "bytes_up_per_client_and_round": 1, "seconds": 1}
    metrics = {"mean": {"personal": {"balanced_accuracy": spread}}}
    versus = {
        "algorithm": "a",
        "difference": difference,
        "ci95": [difference - 0.1, difference + 0.1],
        "test": "no test",
    }
    rows = [
        {"algorithm": "a", "metrics": metrics, "versus": [], **plain},
        {"algorithm": "b", "metrics": metrics, "versus": [versus], **plain},
    ]
    return {"rows": rows, "data": "phantom", "rounds": 2, "reference": "a", "unit": "federations"}


def test_cells_turn_each_shift_alone_and_both() -> None:
    assert sorted(CELLS.values()) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert CELLS["neither"] == (0, 0)
    assert CELLS["scanners"] == (1, 0), "acquisition first"
    for acquisition, case_mix in CELLS.values():
        said = configure([f"data.acquisition_shift={acquisition}", f"data.case_mix_shift={case_mix}"], "table").plain()
        assert (said["data"]["acquisition_shift"], said["data"]["case_mix_shift"]) == (acquisition, case_mix)


def test_its_rows_are_algorithms() -> None:
    assert rows_asked(",".join(ROWS)) == ROWS


def test_scores_and_differences_stand_side_by_side() -> None:
    tables = {"neither": made(0.7, 0.05), "both": made(0.6, -0.1)}
    lines = markdown(tables).splitlines()
    assert "| b | 0.700 ± 0.010 | 0.600 ± 0.010 |" in lines
    assert "| b | +0.050 [-0.050, +0.150] | -0.100 [-0.200, +0.000] |" in lines
    assert "| a | - | - |" in lines
    assert summed_up(tables)["b"]["both"]["versus"][0]["difference"] == -0.1


@pytest.mark.slow
def test_the_whole_course_on_a_small_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    small = ["data.scale=12", "data.test_per_vendor=8", "rounds=1", "engine.workers=1", "table.seeds=1"]
    assert main(["--algorithms=med_dual_lora,head_only", f"--out={tmp_path}", *small]) == 0
    found = json.loads((tmp_path / "shifts.json").read_text())
    assert found.keys() == {"med_dual_lora", "head_only"}
    assert found["head_only"].keys() == set(CELLS)
    told = {(tmp_path / name.replace(" ", "-") / "table.json").read_text() for name in CELLS}
    assert len(told) == 4, "each cell has patients of its own"
