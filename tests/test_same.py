"""Equal runs leave equal journals, byte for byte: this is what `make same` runs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel
import pytest
from made_runs import cohort, command, finished, run

from fedcmr.federation.client import Federation, Handover, visit
from fedcmr.messages import Server
from fedcmr.reports.progress import Progress
from fedcmr.run import main


def journal(folder: Path) -> bytes:
    return (folder / "rounds.jsonl").read_bytes()


def fingerprint(folder: Path) -> str:
    return str(json.loads((folder / "summary.json").read_text())["fingerprint"])


def assert_same(one: Path, other: Path) -> None:
    assert journal(one) == journal(other)
    assert fingerprint(one) == fingerprint(other)
    assert (one / "predictions.csv").read_bytes() == (other / "predictions.csv").read_bytes()


def test_two_equal_runs_leave_equal_journals(tmp_path: Path) -> None:
    assert run(tmp_path / "again") == 0
    assert_same(tmp_path / "again", finished())


@pytest.mark.slow
def test_another_seed_leaves_another_journal(tmp_path: Path) -> None:
    assert run(tmp_path / "other", "--seed=1") == 0
    assert fingerprint(tmp_path / "other") != fingerprint(finished())


def test_neither_the_order_nor_the_spelling_of_clients_changes_a_number(tmp_path: Path) -> None:
    assert run(tmp_path / "turned", "--clients=GE,siemens") == 0
    assert_same(tmp_path / "turned", finished())


def test_a_run_that_was_interrupted_and_resumed_is_the_run_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "interrupted"

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "closed", interrupt)
        assert run(out) == 130
    assert f"python -m fedcmr.run --resume {out}" in capsys.readouterr().err
    assert journal(out) == journal(finished()).splitlines(keepends=True)[0]
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(["--resume", str(out)]) == 0
    assert_same(out, finished())


@pytest.mark.slow
def test_a_run_that_grew_by_a_round_is_the_longer_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    grown = tmp_path / "grown"
    assert run(grown, "--rounds=1") == 0
    assert run(grown) == 2, "without --resume a finished run is not gone on with"
    assert main(["--resume", str(grown), "--rounds", "2"]) == 0
    assert_same(grown, finished())


def test_masks_change_no_number(tmp_path: Path) -> None:
    root = Path(shutil.copytree(cohort(), tmp_path / "unmasked"))
    for mask in root.rglob("*_gt.nii.gz"):
        mask.unlink()
    assert run(tmp_path / "out", root=root) == 0
    assert_same(tmp_path / "out", finished())


def test_a_second_run_opens_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an image was opened")

    monkeypatch.setattr(nibabel, "Nifti1Header", refuse)
    monkeypatch.setattr(nibabel, "load", refuse)
    assert run(tmp_path / "second") == 0


@pytest.mark.slow
def test_folds_that_were_interrupted_and_resumed_are_the_folds_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folds = ["data.split=folds", "data.folds=2", "--rounds=1"]
    assert run(tmp_path / "whole", *folds) == 0
    calls: list[object] = []
    closed = Progress.closed

    def second_interrupts(self: Progress, *said: object) -> None:
        calls.append(said)
        if len(calls) == 2:
            raise KeyboardInterrupt
        closed(self, *said)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "closed", second_interrupts)
        assert run(tmp_path / "parted", *folds) == 130
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert main(["--resume", str(tmp_path / "parted")]) == 0
    assert_same(tmp_path / "parted", tmp_path / "whole")


@pytest.mark.slow
def test_the_number_of_workers_changes_no_number(tmp_path: Path) -> None:
    assert run(tmp_path / "two", "engine.workers=2") == 0
    assert_same(tmp_path / "two", finished())


@pytest.mark.slow
def test_workers_blank_the_heart_as_one_process_does(tmp_path: Path) -> None:
    blanked = [run(tmp_path / f"{n}", "controls.blanked=yes", f"engine.workers={n}", "--rounds=1") for n in (1, 2)]
    assert blanked == [0, 0]
    one, two = (json.loads((tmp_path / n / "summary.json").read_text())["controls"] for n in ("1", "2"))
    assert one == two
    assert one["heart_blanked"]["overall"] != json.loads((tmp_path / "1" / "summary.json").read_text())["overall"]


@pytest.mark.slow
def test_the_command_line_gives_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "own"
    typed = [sys.executable, "-m", "fedcmr.run", *command(out)]
    assert subprocess.run(typed, capture_output=True, timeout=300, check=False).returncode == 0
    assert_same(out, finished())


def test_a_run_with_failures_is_repeated_by_its_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(federation: Federation, client: str, server: Server, *rest: object) -> Handover:
        if (client, server.round) == ("vendorC", 0):
            raise OSError("a disk was full")
        return visit(federation, client, server, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("fedcmr.engines.workers.visit", broken)
        assert run(tmp_path / "failed") == 0
    said = json.loads((tmp_path / "failed" / "summary.json").read_text())
    assert said["absent"] == [{"client": "vendorC", "fold": 0, "round": 1, "cause": "OSError: a disk was full"}]
    printed = capsys.readouterr().out
    assert "vendorC failed in round 1: OSError: a disk was full" in printed
    assert "1 times a client failed" in printed
    assert fingerprint(tmp_path / "failed") != fingerprint(finished())
    written = str(tmp_path / "failed" / "rounds.jsonl")
    assert run(tmp_path / "again", "--replay", written) == 0
    assert_same(tmp_path / "again", tmp_path / "failed")
    for other in (finished() / "rounds.jsonl", tmp_path / "nowhere.jsonl"):
        assert run(tmp_path / "again", "--replay", str(other)) == 2
    assert run(tmp_path / "failed", "--replay", written) == 2, "that run had its failures on its own"
