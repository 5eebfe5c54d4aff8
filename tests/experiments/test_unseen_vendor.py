"""A vendor that no client has: who is drawn, what is tuned, and one small course of it all."""

import json
from collections import Counter
from pathlib import Path

import pytest
import unseen_vendor
from unseen_vendor import COUNTS, Only, drawn, main

from fedcmr.data.cases import Case, Frame
from fedcmr.strategy.roles import Role
from fedcmr.tensors import TensorName

FRAME = Frame(Path("made"), None, None)
CANDIDATES = [
    Case(f"p{index:02d}", "vendorD", "NOR" if index < 10 else "DCM", FRAME, FRAME, "training", (1, 2, 3), "made")
    for index in range(40)
]


def label(case: Case) -> int:
    return int(case.group != "NOR")


@pytest.mark.parametrize(("k", "healthy"), [(5, {1, 2}), (10, {2, 3}), (20, {5}), (40, {10})])
def test_patients_are_drawn_in_the_shares_of_their_labels(k: int, healthy: set[int]) -> None:
    counts = {sum(not label(case) for case in drawn(CANDIDATES, k, label, draw)) for draw in range(20)}
    assert counts == healthy
    assert all(len({case.id for case in drawn(CANDIDATES, k, label, draw)}) == k for draw in range(20))


def test_a_single_patient_is_of_each_class_in_turn() -> None:
    met = [label(*drawn(CANDIDATES, 1, label, draw)) for draw in range(4)]
    assert met in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_a_draw_is_a_function_of_its_number_and_each_number_draws_others() -> None:
    draws = [drawn(CANDIDATES, 5, label, draw) for draw in range(20)]
    assert draws == [drawn(CANDIDATES, 5, label, draw) for draw in range(20)]
    often = Counter(case.id for cases in draws for case in cases)
    assert len(often) > 30, "most candidates are drawn by someone"


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="41 of 40 candidates"):
        drawn(CANDIDATES, 41, label, 0)


def test_one_kind_of_tensor_is_tuned_and_all_else_is_frozen() -> None:
    names = ["q.branches.local.A", "q.branches.global.B", "q.gate.local", "head.cls.bias", "norm.weights.weight"]
    adapter = [Only("local")(TensorName.parse(name), 1) for name in names]
    head = [Only("")(TensorName.parse(name), 1) for name in names]
    assert adapter == [Role.PRIVATE, *[Role.FROZEN] * 4]
    assert head == [*[Role.FROZEN] * 3, Role.PRIVATE, Role.FROZEN]


@pytest.mark.slow
def test_the_whole_course_on_a_small_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(unseen_vendor, "STEPS", 12)
    small = ["data.scale=6", "data.test_per_vendor=8", "rounds=1"]
    assert main(["--algorithms=med_dual_lora,flora", "--draws=2", f"--out={tmp_path}", *small]) == 0
    rows = json.loads((tmp_path / "unseen.json").read_text())["rows"]
    candidates = max(row["patients"] for row in rows)
    assert candidates in COUNTS
    for algorithm in ("med_dual_lora", "flora"):
        own = {(row["tuned"], row["patients"]): row for row in rows if row["algorithm"] == algorithm}
        assert own["global view", 0]["auroc"]["n"] == 1
        assert own["adapter", 1]["auroc"]["n"] == 2
        global_view, adapter, head = (
            [own[place][name] for name in unseen_vendor.METRICS]
            for place in (("global view", 0), ("adapter", 5), ("head", 5))
        )
        assert global_view != adapter != head
    assert "vendorD was no client" in (tmp_path / "unseen.md").read_text()


def test_an_unknown_algorithm_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--algorithms=fedavg", f"--out={tmp_path}"]) == 2
    assert "fedavg_lora" in capsys.readouterr().err
