"""The comparison table: which rows it has, and that no run of it is run twice."""

import json
from pathlib import Path

import pytest
from made_runs import command

from fedcmr import tabling
from fedcmr.table import CORE, REFERENCE, main, rows_asked


def test_the_rows_are_the_ones_that_were_asked_for() -> None:
    assert rows_asked(None) == CORE
    assert rows_asked(None, ["pooled"]) == ("pooled",)
    assert rows_asked("pooled, local_only", ["ffa_lora"]) == ("pooled", "local_only")
    assert set(rows_asked("all")) >= set(CORE)
    assert len(CORE) >= 12
    assert CORE[0] == REFERENCE


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--algorithms=med_dual_lora,fedavg"], "Did you mean 'fedavg_lora'"),
        (["--algorithms=pooled,pooled"], "expected each algorithm once"),
        (["--algorithms=,"], "expected each algorithm once"),
        (["--algorithm=pooled"], "takes --algorithms"),
        (["--seeds=0"], "--seeds 0: expected at least 1"),
        (["algorithm.rank_global=3"], "takes every algorithm with its own defaults"),
        (["--tuned=nowhere.json"], "expected a grid.json"),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_runs(
    typed: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path / "out", *typed)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_interrupted_table_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tabling, "make_ready", interrupt)
    assert main(command(tmp_path)) == 130
    assert "Go on by the same command" in capsys.readouterr().err


@pytest.mark.slow
def test_a_table_has_a_row_for_each_algorithm_and_a_run_for_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    typed = command(tmp_path, "--algorithms=med_dual_lora,local_only", "--seeds=2", "--rounds=1")
    assert main(typed) == 0
    said = json.loads((tmp_path / "table.json").read_text())
    assert [row["algorithm"] for row in said["rows"]] == ["med_dual_lora", "local_only"]
    assert [row["seeds"] for row in said["rows"]] == [[0, 1], [0, 1]]
    assert sorted(run.name for run in (tmp_path / "runs").iterdir()) == [
        *("local_only-0", "local_only-1", "med_dual_lora-0", "med_dual_lora-1"),
    ]
    assert said["rows"][0]["aggregation"]["error"]["mean"] > 0
    assert set(said["controls"]["volumes_and_ef"]) == {"auroc", "balanced_accuracy", "accuracy", "n"}
    assert said["rows"][0]["calibration"]["personal"].keys() == {"intercept", "slope"}
    assert {file.stem for file in tmp_path.glob("*.png")} == {"scores", "learning", "roc", "bytes"}
    told = capsys.readouterr().out
    assert "4 runs in 1 process(es) will take about" in told
    assert "[4/4]" in told
    assert main(typed) == 0
    assert "4 runs, 4 of them finished already" in capsys.readouterr().out


@pytest.mark.slow
def test_processes_share_the_runs_and_change_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    rows = "--algorithms=fedavg_lora,med_dual_lora"
    for name, workers in (("one", 1), ("two", 2)):
        assert main(command(tmp_path / name, rows, "--seeds=2", "--rounds=1", f"engine.workers={workers}")) == 0
    for run in (tmp_path / "one" / "runs").iterdir():
        twin = tmp_path / "two" / "runs" / run.name
        assert (twin / "rounds.jsonl").read_bytes() == (run / "rounds.jsonl").read_bytes()
        assert (twin / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    said = json.loads((tmp_path / "two" / "table.json").read_text())
    assert said["reference"] == "med_dual_lora", "wherever it stands"


def test_each_row_gets_the_knobs_that_were_chosen_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tabling.Job] = []

    def stop(jobs: list[tabling.Job], *_: object) -> None:
        asked.extend(jobs)
        raise ValueError("enough")

    monkeypatch.setattr(tabling, "make_ready", stop)
    chosen = {"fedprox_lora": {"visit.lr": 0.006, "algorithm.mu": 0.1}, "local_only": {"visit.lr": 0.0015}}
    (tmp_path / "grid.json").write_text(json.dumps({"chosen": chosen}))
    rows = "--algorithms=fedprox_lora,fedavg_lora,local_only"
    assert main(command(tmp_path / "out", rows, f"--tuned={tmp_path / 'grid.json'}", "visit.lr=0.002")) == 2
    knobs = {job.algorithm: (job.config.plain()["visit"]["lr"], job.config.plain()["algorithm"]) for job in asked}
    assert {name: rate for name, (rate, _) in knobs.items()} == {
        "fedprox_lora": 0.006,
        "fedavg_lora": 0.002,
        "local_only": 0.0015,
    }
    assert knobs["fedprox_lora"][1]["mu"] == 0.1
