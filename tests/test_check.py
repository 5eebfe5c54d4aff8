"""The preflight says what a run would do and does none of it."""

import re
from pathlib import Path

import pytest
from made_runs import command, finished

from fedcmr.check import main
from fedcmr.parts import Parts


def test_it_says_who_trains_and_what_would_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Parts, "federation", None)
    assert main(command(tmp_path / "out")) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in (
        "4 (2 NOR, 2 disease)",
        "shared encoder.blocks.4.attn.q.branches.global.A (8, 128)",
        "private encoder.blocks.4.attn.q.branches.local.A (8, 128)",
        "2 rounds of 2 client(s) and 1 fold(s)",
        "Nothing was trained",
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
