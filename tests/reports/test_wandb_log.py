"""Offline W&B runs are read back from their files by wandb's own reader."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import wandb

from fedcmr.reports.comparing import comparison_table
from fedcmr.reports.wandb_log import WandbLog, log_table, training_logger, wanted_mode
from fedcmr.reports.writing import write_table

CLIENTS = ("vendorA", "vendorB", "vendorC")
CONFIG = {"seed": 0, "algorithm": {"name": "med_dual_lora", "rank_local": 8}}
OVERALL = {"personal": {"balanced_accuracy": 0.6, "specificity": None}}
SUMMARY = {
    "mean": {"personal": {"balanced_accuracy": 0.7, "auroc": None}},
    "overall": {"personal": {"balanced_accuracy": 0.65, "auroc": 0.75}},
    "clients": {client: {"personal": {"balanced_accuracy": 0.7, "auroc": None}} for client in CLIENTS},
    "controls": {"always_disease": {"balanced_accuracy": 0.5, "auroc": 0.5}},
}


@cache
def inspected(run: Path) -> tuple[dict, ...]:
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(run)]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    return tuple(map(json.loads, text.splitlines()))


def records(run: Path, kind: str) -> list[dict]:
    """Records of one kind of a run that has ended."""
    return [record[kind] for record in inspected(run) if record["type"] == kind]


def runs(folder: Path) -> list[Path]:
    return sorted((folder / "wandb").glob("offline-run-*"))


def table(run: Path, name: str) -> dict:
    (file,) = (run / "files/media/table").glob(f"{name}_*.table.json")
    return dict(json.loads(file.read_text()))


@pytest.fixture
def logged(tmp_path, task, rows, make_round) -> dict[str, Path]:
    """name -> folder of each run of a finished experiment."""
    with WandbLog(tmp_path, "trial", CONFIG, CLIENTS, mode="offline") as log:
        for number in (1, 2):
            log.round(make_round(number), OVERALL)
        log.finish(SUMMARY, rows, task)
    return {records(run, "run")[0]["display_name"]: run for run in runs(tmp_path)}


def test_an_experiment_is_one_group_with_a_run_for_each_client_and_the_server(logged, rows):
    assert set(logged) == {"server", *CLIENTS}
    for name, run in logged.items():
        said = records(run, "run")[0]
        assert (said["run_group"], said["project"]) == ("trial", "fedcmr")
        assert said["job_type"] == ("server" if name == "server" else "client")
    server = logged["server"]

    config = {key: value for record in records(server, "config") for key, value in record["update"].items()}
    assert config == {**CONFIG, "client": "server", **dict.fromkeys(("data_name", "task_name", "backbone_name"))} | {
        "algorithm_name": "med_dual_lora"
    }
    metrics = records(server, "metric")
    assert {"glob_name": "*", "step_metric": "round"}.items() <= {**metrics[-1], "options": None}.items()

    steps = [record["item"] for record in records(server, "history")][:2]
    assert [step["round"] for step in steps] == [1, 2]
    assert steps[0]["validation/personal/balanced_accuracy/overall"] == 0.6
    assert steps[1]["validation/personal/balanced_accuracy/vendorB"] == pytest.approx(0.58)
    assert "validation/personal/specificity/overall" not in steps[0]  # undefined is left out, not drawn as 0
    own = [record["item"] for record in records(logged["vendorA"], "history")]
    assert (own[0]["training/loss"], own[0]["bytes/up"]) == (0.7, 100)

    everybody, of_a = table(server, "predictions"), table(logged["vendorA"], "predictions")
    assert len(everybody["data"]) == len(rows)
    assert {row[0] for row in of_a["data"]} == {"vendorA"}
    assert everybody["columns"][-2:] == ["p_NOR", "p_disease"]
    assert not {row[1] for row in everybody["data"]} & {row.prediction.patient for row in rows}
    compared = table(server, "comparison")
    assert compared["columns"] == ["scope", "view", "balanced_accuracy", "auroc"]
    assert ["control: always_disease", "", 0.5, 0.5] in compared["data"]
    assert len(compared["data"]) == 2 + len(CLIENTS) + 1


def test_a_resumed_experiment_goes_on_under_the_same_ids_and_with_growing_steps(tmp_path, make_round):
    for number in (1, 2):
        with WandbLog(tmp_path, "trial", CONFIG, [], mode="offline") as log:
            log.round(make_round(number), OVERALL)
    first, second = runs(tmp_path)
    assert records(first, "run")[0]["run_id"] == records(second, "run")[0]["run_id"]
    assert [records(run, "history")[0]["item"]["_step"] for run in (first, second)] == [1, 2]


def test_folds_have_curves_of_their_own_and_simulated_patients_keep_their_codes(tmp_path, task, rows, make_round):
    with WandbLog(tmp_path, "trial", CONFIG, [], salted=False, folds=2, mode="offline") as log:
        for fold in (0, 1):
            log.round(make_round(1, fold=fold))
        log.finish(SUMMARY, rows, task)
    (run,) = runs(tmp_path)
    first, second = (record["item"] for record in records(run, "history")[:2])
    assert "fold1/training/loss/vendorA" in first
    assert "fold2/training/loss/vendorA" in second
    assert second["_step"] > first["_step"]
    assert {row[1] for row in table(run, "predictions")["data"]} == {row.prediction.patient for row in rows}


def test_disabled_writes_nothing(tmp_path, task, rows, make_round):
    with WandbLog(tmp_path, "trial", CONFIG, CLIENTS, mode="disabled") as log:
        log.round(make_round(1))
        log.finish(SUMMARY, rows, task)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_one_message(tmp_path, monkeypatch):
    def refuse(**said: object) -> None:
        raise wandb.errors.CommError("no answer")

    monkeypatch.setattr(wandb, "init", refuse)
    with pytest.raises(ValueError, match=r"WANDB_MODE=online: W&B does not start \(no answer\)"):
        WandbLog(tmp_path, "trial", CONFIG, CLIENTS, mode="online")


def test_the_environment_decides_and_offline_is_the_default(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert wanted_mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "Disabled")
    assert WandbLog(tmp_path, "trial", CONFIG, CLIENTS).mode == "disabled"
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    with pytest.raises(ValueError, match="WANDB_MODE=dryrun: expected one of offline, online, disabled"):
        WandbLog(tmp_path, "trial", CONFIG, CLIENTS)


def test_importing_the_reports_imports_no_slow_library():
    modules = ["journal", "choosing", "summary", "controls", "statistics", "tables", "figures", "progress", "wandb_log"]
    lines = "; ".join(f"import fedcmr.reports.{module}" for module in modules)
    slow = {"wandb", "matplotlib", "sklearn", "torchmetrics", "lightning", "scipy", "monai"}
    script = f"import sys; {lines}; print(*sorted({slow} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip() == ""
    )


def test_a_training_has_one_run_on_the_axis_epoch_and_keeps_its_id(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for epoch in (1, 2):
        logger = training_logger(tmp_path, "trained", {"pretrain": {"lr": 1e-3}})
        assert logger is not None
        logger.log_metrics({"loss": 1 / epoch, "epoch": epoch}, step=epoch)
        logger.experiment.finish()
    first, second = runs(tmp_path)
    # offline-run-<time>-<id>, and -1 behind it where both began in one second
    assert first.name.split("-")[3] == second.name.split("-")[3]
    (started,) = records(second, "run")
    assert started["display_name"] == "trained"
    assert started["job_type"] == "pretrain"


def test_a_training_without_wandb_has_no_logger(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert training_logger(tmp_path, "trained", {}) is None
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    with pytest.raises(ValueError, match="WANDB_MODE=sometimes"):
        training_logger(tmp_path, "trained", {})


def test_a_finished_table_is_a_run_of_its_group_with_its_rows_and_its_files(tmp_path, repeats, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    compared = comparison_table(repeats)
    write_table(tmp_path, compared)
    log_table(tmp_path, "trial", compared)
    (run,) = runs(tmp_path)
    (said,) = records(run, "run")
    assert (said["run_group"], said["job_type"], said["display_name"]) == ("trial", "table", "trial-table")
    shown = table(run, "table")
    assert [row[0] for row in shown["data"]] == ["med_dual_lora", "fedavg_lora", "local_only"]
    place = shown["columns"].index("personal/balanced_accuracy")
    assert shown["data"][0][place] == pytest.approx(0.65)
    (artifact,) = [one for one in records(run, "artifact") if one["type"] == "table"]
    names = {entry["path"] for entry in artifact["manifest"]["contents"]}
    assert names == {"table.json", "table.md", "table.csv", "table.tex"}


def test_a_table_leaves_nothing_where_weights_and_biases_is_disabled(tmp_path, repeats, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    log_table(tmp_path, "trial", comparison_table(repeats))
    assert list(tmp_path.iterdir()) == []
