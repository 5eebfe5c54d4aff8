"""The preflight says what a run would do and does none of it."""

import re
from pathlib import Path

import pytest
from made_runs import command, finished

from fedcmr.check import main
from fedcmr.data.loaders import CaseSet


def test_it_says_who_trains_and_what_would_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nobody(*_: object) -> None:
        raise AssertionError("a patient was looked at")

    monkeypatch.setattr(CaseSet, "__getitem__", nobody)
    assert main(command(tmp_path / "out")) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "4 (2 NOR, 2 disease)",
        "shared encoder.blocks.4.attn.q.branches.global.A (8, 128)",
        "private encoder.blocks.4.attn.q.branches.local.A (8, 128)",
        "2 rounds of 2 client(s) and 1 fold(s)",
        "Two rounds were played with made-up updates",
        "vendorC, made to send NaN, was refused ('",
        "the round went on with the rest",
        "of training and scoring in 1 process(es)",
        "GB of memory for each of 1 process(es)",
        "This run would work. Nothing was trained",
        "it holds nothing",
    ):
        assert words in said, words
    assert not (tmp_path / "out").exists()


def test_it_refuses_what_the_run_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path, "--clients=vendorX")) == 2
    assert "Unknown client 'vendorX'" in capsys.readouterr().err
    assert main(command(finished(), "visit.lr=0.5")) == 2
    assert "holds another run" in capsys.readouterr().err


def test_what_travels_beside_the_model_is_counted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = {}
    for algorithm in ("fedavg_lora", "scaffold_lora"):
        assert main(command(tmp_path / "out", f"--algorithm={algorithm}")) == 0
        said[algorithm] = " ".join(capsys.readouterr().out.split())
    assert "control, beside each" in said["scaffold_lora"]
    assert "control, beside each" not in said["fedavg_lora"]
    up = {name: float(re.search(r"About ([\d.]+) kB up", text)[1]) for name, text in said.items()}
    assert 1.9 < up["scaffold_lora"] / up["fedavg_lora"] < 2.1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["min_clients=2"], "With one client's update of NaN the run would end: Round 1: 1 updates were let in"),
        (["--algorithm=local_only", "head.owner=private"], "Nothing is sent, so no client can spoil another's model"),
        (["engine.workers=2"], "for each of 3 process(es)"),
        (["prefix.keep=false"], "0 s before it to make 0 prefixes"),
    ],
)
def test_what_would_become_of_a_run_is_said(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(tmp_path / "out", *more)) == 0
    assert said in " ".join(capsys.readouterr().out.split())
