"""The benchmark: what its rows do, what its reports hold. How long anything takes is not tested."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedcmr import bench
from fedcmr.benchmarks import benchmark as whole
from fedcmr.benchmarks.arithmetic import constant_share
from fedcmr.benchmarks.flower import simulate
from fedcmr.benchmarks.found import Found, as_json
from fedcmr.benchmarks.machine import machine
from fedcmr.benchmarks.measuring import Overhead, Timed, break_even_rounds, fill, measure, once
from fedcmr.benchmarks.memory import Peak, apart, by_clients, peak_bytes
from fedcmr.benchmarks.reading import reading
from fedcmr.benchmarks.rows import ROWS, TRIED
from fedcmr.benchmarks.starting import Starting, starting
from fedcmr.benchmarks.workload import SHAPES, SMALLEST, Stage, Workload, cases, stage

STEPS = 3
WORKLOAD = Workload(SMALLEST, training=5, validation=2, batch=2)
"""Three steps: the losses of two rows agree only if their optimizers and their batches do."""

ROW_FIELDS = {"name", "seconds_per_round", "ratio_to_bound", "peak_memory_bytes", "bytes_up"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return stage(WORKLOAD, tmp_path_factory.mktemp("prefixes"))


@pytest.fixture(scope="module")
def rows(ready: Stage) -> dict[str, Timed]:
    return {name: once(row, ready) for name, row in ROWS.items()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A whole benchmark of the smallest backbone; memory is read in this process, to save the start of five others."""

    def here(function: Callable[..., object], *arguments: object) -> object:
        return function(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whole, "apart", here)
        patch.setattr(whole, "OTHER_VISITS", (1, 7))
        patch.setattr(whole, "reading", lambda: reading(2, (40, 32, 4, 12)))
        patch.setattr(whole, "HAS_FLOWER", True)
        patch.setattr(whole, "simulate", lambda *_: (Timed((8.0, 6.0), (), STEPS, 0.7, 900), Peak(10**6, 10**7, 20.0)))
        patch.setattr(whole, "starting", lambda folder: Starting((0.2, 0.1, 0.3), (5.0, 4.0, 9.0)))
        patch.setattr(whole, "overhead_of_a_visit", lambda: Overhead((3.0, 1.0, 2.0), (2.0, 1.0, 1.0)))
        return whole.benchmark("smallest", WORKLOAD, 2, lambda line: None)


def test_every_row_trains_as_many_steps(rows: dict[str, Timed]) -> None:
    assert {name: timed.steps for name, timed in rows.items()} == dict.fromkeys(ROWS, STEPS)


def test_the_bound_does_the_arithmetic_of_a_visit_to_the_last_bit(rows: dict[str, Timed]) -> None:
    assert rows["bound"].loss == rows["fedcmr"].loss
    assert rows["bound"].loss > 0


def test_rows_from_volumes_train_on_the_same_batches(rows: dict[str, Timed]) -> None:
    # 1e-5: a batch of volumes passes the frozen blocks together, a prefix was made of one case alone
    assert rows["no_prefix"].loss == pytest.approx(rows["fedcmr"].loss, abs=1e-5)
    assert rows["usual_way"].loss == pytest.approx(rows["fedcmr"].loss, abs=1e-5)


def test_a_row_repeated_starts_from_the_same_values(ready: Stage, rows: dict[str, Timed]) -> None:
    for name in ("usual_way", "no_prefix", "bound"):
        assert once(ROWS[name], ready).loss == pytest.approx(rows[name].loss, abs=1e-6)


def test_only_the_usual_way_hands_over_the_frozen_weights(ready: Stage, rows: dict[str, Timed]) -> None:
    whole_model = sum(tensor.numel() * tensor.element_size() for tensor in ready.model.state_dict().values())
    assert rows["bound"].bytes_up == 0
    assert 0 < rows["fedcmr"].bytes_up < whole_model <= rows["usual_way"].bytes_up
    assert rows["no_prefix"].bytes_up == pytest.approx(rows["fedcmr"].bytes_up, abs=50)  # digits of its scores


def test_prefixes_are_made_once(tmp_path: Path) -> None:
    made = stage(WORKLOAD, tmp_path)
    fill(made)
    first = {path: path.stat().st_ino for path in tmp_path.rglob("*.safetensors")}
    fill(stage(WORKLOAD, tmp_path))
    assert len(first) == WORKLOAD.training + WORKLOAD.validation
    assert {path: path.stat().st_ino for path in tmp_path.rglob("*.safetensors")} == first


def test_a_larger_visit_holds_the_cases_of_a_smaller_one() -> None:
    assert cases(replace(WORKLOAD, training=9)).train[:5] == cases(WORKLOAD).train
    assert {case.group for case in cases(WORKLOAD).train} == {"NOR", "DCM"}


def test_every_row_is_measured_as_often(tmp_path: Path) -> None:
    told: list[str] = []
    measured = measure(WORKLOAD, tmp_path, 2, told.append)
    assert {name: len(timed.seconds) for name, timed in measured.items()} == dict.fromkeys(ROWS, 2)
    timed = [re.findall(r"\w+", line)[0] for line in told]
    assert timed[: len(ROWS)] == list(ROWS), "each row in turn, not one row to its end"
    assert timed[len(ROWS)] == list(ROWS)[1], "another row goes first in the second repeat"


def test_break_even_is_the_cost_of_prefixes_over_what_a_round_saves() -> None:
    # 4 s of prefixes, 3 s a round without them, 1 s with them: two rounds pay
    slow, fast = (Timed((seconds,), (seconds,), 1, 0.5, 0) for seconds in (3.0, 1.0))
    assert break_even_rounds({"no_prefix": slow, "fedcmr": fast}, 4.0) == 2
    assert break_even_rounds({"no_prefix": fast, "fedcmr": slow}, 4.0) is None


def test_bench_json_has_the_fields_of_the_contract(found: Found, tmp_path: Path) -> None:
    whole.write(found, tmp_path)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in written["rows"]] == ["bound", "fedcmr", "no_prefix", "usual_way", "flower"]
    for row in written["rows"]:
        seconds = row["seconds_per_round"]
        assert row.keys() >= ROW_FIELDS
        assert 0 < seconds["min"] <= seconds["median"] <= seconds["max"]
        assert row["ratio_to_bound"] == seconds["median"] / written["rows"][0]["seconds_per_round"]["median"]
        assert row["peak_memory_bytes"] > 0
        assert row["seconds_per_run"] > row["seconds_to_first_round"] > 0
    assert written["rows"][0]["ratio_to_bound"] == 1
    assert [(row["name"], row["ratio_to_fedcmr"] == 1) for row in written["tried"]] == [
        ("fedcmr", True),
        ("bf16", False),
    ]
    assert written["rows"][-1]["seconds_per_round"]["median"] == 7
    assert written["rows"][-1]["processor_ratio_to_bound"] is None
    assert written["overhead_ms_per_visit"] == 2
    assert (written["help_seconds"]["median"], written["first_step_seconds"]["median"]) == (0.2, 5)
    assert written["prefix_seconds"] > 0
    assert "break_even_rounds" in written
    assert {(visit["training"], len(visit["rows"])) for visit in written["visits"]} == {(1, 4), (7, 4)}
    assert [row["clients"] for row in written["memory_by_clients"]] == [4, 16, 64, 256]
    assert (tmp_path / "memory.png").stat().st_size > 1000
    assert written["reading_processor_seconds"]["patients"] == 2
    assert written["reading_processor_seconds"]["monai"] > 0


def test_the_reports_describe_the_machine_without_its_name(found: Found, tmp_path: Path) -> None:
    whole.write(found, tmp_path)
    assert {"processor", "cores", "torch", "threads"} <= machine().keys()
    assert as_json(found)["machine"] == found.machine
    for name in ("bench.json", "bench.md"):
        assert not re.search(rf"\b{re.escape(platform.node())}\b", (tmp_path / name).read_text())


def test_bench_md_tells_every_row_and_every_visit(found: Found, tmp_path: Path) -> None:
    whole.write(found, tmp_path)
    text = (tmp_path / "bench.md").read_text()
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {4, 6, 8}
    assert all(any(line.startswith(f"| {name} |") for line in tables) for name in (*ROWS, "flower"))
    assert all(any(line.startswith(f"| {count} |") for line in tables) for count in (1, 7, 4, 16, 64, 256))
    assert torch.__version__ in text


def test_more_clients_add_their_private_tensors_and_no_model(tmp_path: Path) -> None:
    two, six = by_clients(WORKLOAD, tmp_path, (2, 6))
    assert six.model_bytes == two.model_bytes
    assert six.kept_bytes == 3 * two.kept_bytes > 0
    assert six.models_bytes == 6 * six.model_bytes


@pytest.mark.slow
def test_a_fresh_process_does_not_count_the_memory_of_the_one_that_started_it() -> None:
    ballast = torch.zeros(200_000_000)  # 800 MB, more than torch and Lightning take
    assert apart(os.getpid) != os.getpid()
    assert apart(peak_bytes) < peak_bytes() - ballast.numel()


def test_the_command_starts_without_torch() -> None:
    subprocess.run([sys.executable, "-c", "import sys, fedcmr.bench; assert 'torch' not in sys.modules"], check=True)


def test_every_size_says_how_long_it_takes() -> None:
    assert bench.TAKES.keys() == SHAPES.keys()


def test_no_repeats_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert bench.main(["--repeats", "0", "--out", str(tmp_path)]) == 2
    assert "--repeats 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_command_measures_the_embedded_backbone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--size", "tiny", "--repeats", "1", "--out", str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "bench.md").read_text() in capsys.readouterr().out
    rows = json.loads((tmp_path / "new" / "bench.json").read_text())["rows"]
    assert all(row["peak_memory_bytes"] > row["peak_memory_of_imports_bytes"] for row in rows)


@pytest.mark.slow
def test_flowers_client_does_the_same_visit(rows: dict[str, Timed], tmp_path: Path) -> None:
    pytest.importorskip("flwr")
    timed, peak = apart(simulate, WORKLOAD, tmp_path, 1)
    assert timed.steps == STEPS
    assert timed.loss == pytest.approx(rows["usual_way"].loss, abs=1e-6)
    assert len(timed.seconds) == 1
    assert 0 < timed.seconds[0] < peak.seconds
    assert 0 < peak.imports <= peak.round


@pytest.mark.slow
def test_starts_end_at_the_first_step_of_a_run(tmp_path: Path) -> None:
    wishes = ["--config", "demo"]
    started = starting(tmp_path, wishes, repeats=1)
    assert (tmp_path / "warm" / "summary.json").is_file()
    assert not (tmp_path / "start-0" / "rounds.jsonl").exists()
    assert len(started.help) == len(started.first_step) == 1


def test_bfloat16_trains_on_the_same_batches(ready: Stage, rows: dict[str, Timed]) -> None:
    # 8 bits of mantissa: 0.4 % of each number, some of it through three steps
    assert once(TRIED["bf16"], ready).loss == pytest.approx(rows["fedcmr"].loss, rel=0.02)
    assert once(TRIED["bf16"], ready).loss != rows["fedcmr"].loss


def test_the_constant_share_by_hand() -> None:
    # D = 16, T = 1 + 4: forward 2 (12·256 + 2·80) = 6464, backward 12·256 + 4·80 + 9·256 + 4·80 = 6016
    # 5 training cases, 3 passes over 2 validation cases: 11 · 768 / (5 · 12480 + 6 · 6464)
    assert constant_share(WORKLOAD) == pytest.approx(8448 / 101184)
