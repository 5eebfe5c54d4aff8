"""One run from outside: what it leaves, what it prints, and what it refuses without leaving anything."""

import csv
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import sklearn.metrics
from made_data import write_nifti
from made_runs import cohort, command, finished, run
from safetensors import safe_open

from fedcmr import catalogue
from fedcmr.arguments import configure
from fedcmr.data.mnms import TABLE
from fedcmr.exporting import finished as finished_model
from fedcmr.reports.journal import read_rounds
from fedcmr.reports.progress import Progress
from fedcmr.run import main
from fedcmr.run import run as run_from_python

Metrics = dict[str, float | None]


def summary(folder: Path) -> dict[str, dict]:
    return dict(json.loads((folder / "summary.json").read_text()))


def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def scored_again(rows: list[dict[str, str]]) -> Metrics:
    """Every detection metric, by scikit-learn; both classes have to be there."""
    sick = [row["label"] != "NOR" for row in rows]
    said = [row["prediction"] != "NOR" for row in rows]
    p = [float(row["p_disease"]) for row in rows]
    return {
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(sick, said),
        "specificity": sklearn.metrics.recall_score(sick, said, pos_label=False),
        "sensitivity": sklearn.metrics.recall_score(sick, said),
        "auroc": sklearn.metrics.roc_auc_score(sick, p),
        "accuracy": sklearn.metrics.accuracy_score(sick, said),
        "f1": sklearn.metrics.f1_score(sick, said),
        "brier": sklearn.metrics.brier_score_loss(sick, p),
        "log_loss": sklearn.metrics.log_loss(sick, p),
        "n": len(rows),
    }


def test_a_run_leaves_the_files_of_the_contract_and_no_others() -> None:
    out = finished()
    assert {path.name for path in out.iterdir()} == {
        *("config.yaml", "rounds.jsonl", "timings.jsonl", "predictions.csv", "summary.json", "adapters", "state"),
    }
    assert sorted(path.name for path in (out / "adapters").iterdir()) == [
        *("global.safetensors", "vendorA.safetensors", "vendorC.safetensors"),
    ]


def test_beside_them_stand_the_runs_of_weights_and_biases(tmp_path: Path) -> None:
    assert run(tmp_path / "out", "--rounds=1", wandb="offline") == 0
    assert len(list((tmp_path / "out" / "wandb").glob("offline-run-*"))) == 3, "the server and two clients"


def test_every_metric_of_the_summary_can_be_computed_from_the_predictions() -> None:
    said, rows = summary(finished()), predictions(finished())
    assert list(rows[0]) == [
        *("client", "patient", "split", "fold", "view", "round", "label", "prediction", "p_NOR", "p_disease"),
    ]
    for reported, tree in (("last", said), ("chosen", said["chosen"])):
        for view in ("personal", "global"):
            own = [row for row in rows if row["round"] == reported and row["view"] == view]
            assert tree["overall"][view] == pytest.approx(scored_again(own), abs=1e-6)
            for client in ("vendorA", "vendorC"):
                of_client = [row for row in own if row["client"] == client]
                assert tree["clients"][client][view] == pytest.approx(scored_again(of_client), abs=1e-6)


def test_the_global_file_holds_shared_names_and_a_clients_file_private_ones() -> None:
    for file in sorted((finished() / "adapters").iterdir()):
        with safe_open(file, framework="pt") as opened:
            names, said = list(opened.keys()), opened.metadata()
        assert names
        assert all((".branches.local." in name) == (file.stem != "global") for name in names), file
        wanted = {"algorithm", "alphas", "backbone", "task", "classes", "threshold", "preprocessing"}
        assert wanted <= set(said), file


def test_a_run_from_python_returns_the_summary_that_it_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wishes = [word for word in command(tmp_path) if not word.startswith("--")]
    config = configure(["data=mnms", "clients=[vendorC]", "rounds=1", *wishes])
    result = run_from_python(config, root=tmp_path)
    assert result.folder.name.startswith("med_dual_lora-mnms-0-")
    assert result.summary == summary(result.folder)
    assert list(result.summary["clients"]) == ["vendorC"]  # type: ignore[call-overload]


def test_a_finished_run_is_printed_again_and_not_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished().rglob("*")}
    assert run(finished()) == 0
    assert main(["--resume", str(finished())]) == 0
    assert capsys.readouterr().out.count("holds this run, finished") == 2
    assert {path: path.stat().st_mtime_ns for path in finished().rglob("*")} == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["visit.lr=0.5"], "holds another run: visit.lr is 0.003 there, 0.5 here. Choose another --out"),
        (["--rounds=1"], "more than the 1 asked for"),
        (["--rounds=3"], "Go on by: python -m fedcmr.run --resume"),
    ],
)
def test_a_folder_of_another_run_is_left_alone(more: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(finished(), *more) == 2
    assert said in capsys.readouterr().err


def test_what_cannot_be_resumed_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for typed, said in (
        (["--resume", str(tmp_path / "nowhere")], "holds no run to resume"),
        (["--resume", str(finished()), "--out", str(tmp_path)], "Leave --out out"),
        (["--resume", str(finished()), "visit.lr=0.5"], "holds another run"),
    ):
        assert main(typed) == 2
        assert said in capsys.readouterr().err
    (tmp_path / "letter.txt").write_text("mine")
    assert run(tmp_path) == 2
    assert run(tmp_path / "letter.txt") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_unfinished_run_is_named_with_the_line_to_resume_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(1)  # as Lightning does where an interrupt meets it inside a fit

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "visited", leave)
        assert run(tmp_path / "out") == 130
    capsys.readouterr()
    assert run(tmp_path / "out") == 2
    assert f"unfinished. Go on by: python -m fedcmr.run --resume {tmp_path / 'out'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--clients=vendorA,vendrC"], "Did you mean 'vendorC'"),
        (["--clients=vendorA,vendorB,vendorC,vendorD,vendorE"], "Unknown client 'vendorE'"),
        (["--clients=vendorA,siemens"], "vendorA is named twice"),
        (["data.root=/nowhere"], "Set data.root to the folder that holds it"),
        (["data.split=official", "--clients=vendorA,vendorB,vendorC,vendorD"], "no labelled patients to test on"),
        (["data.split=sideways"], "expected one of official, vendor, folds"),
        (["--algorithm=head_only", "head.owner=private"], "head_only fixes the head's owner to shared"),
        (["adapter.blocks=7"], "expected some of 0 to 5"),
        (["algorithm.rank_local=0"], "rank 0"),
        (["min_clients=3"], "expected at most 2, the number of clients"),
        (["backbone=cinema", "backbone.path=nowhere.safetensors"], "no such file"),
        (["visit.accelerator=abacus"], "expected one of cpu, gpu"),
    ],
)
def test_a_wish_that_cannot_be_met_leaves_nothing_behind(
    more: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_weights_and_biases_in_an_unknown_mode_leaves_nothing_behind(tmp_path: Path) -> None:
    assert run(tmp_path / "out", wandb="sometimes") == 2
    assert not (tmp_path / "out").exists()


def test_with_debug_the_traceback_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vendorE"):
        run(tmp_path / "out", "--clients=vendorE", "--debug")


def image(root: Path) -> Path:
    return root / "Training/Labeled/A00/A00_sa.nii.gz"


def altered(change: Callable[[np.ndarray], None]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        voxels = np.asarray(nibabel.load(image(root)).dataobj).astype(np.float32)
        change(voxels)
        write_nifti(image(root), voxels)

    return damage


def reworded(old: str, new: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        text = (root / TABLE).read_text()
        assert old in text
        (root / TABLE).write_text(text.replace(old, new, 1))

    return damage


def twice(root: Path) -> None:
    text = (root / TABLE).read_text()
    (root / TABLE).write_text(text + text.splitlines()[1] + "\n")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut": (lambda root: image(root).write_bytes(image(root).read_bytes()[:5000]), "truncated or damaged"),
    "cut inside": (
        lambda root: image(root).write_bytes(gzip.compress(gzip.decompress(image(root).read_bytes())[:9000])),
        "truncated, 9000 bytes",
    ),
    "no NIfTI": (lambda root: image(root).write_text("hello"), "not a NIfTI file"),
    "2-D": (lambda root: write_nifti(image(root), np.ones((40, 36), np.int16)), "expected 4-D"),
    "3-D": (lambda root: write_nifti(image(root), np.ones((40, 36, 5), np.int16)), "expected 4-D"),
    "NaN": (altered(lambda voxels: voxels[3, 3, 2].fill(np.nan)), "NaN or infinite"),
    "constant": (altered(lambda voxels: voxels.fill(7)), "every voxel is 7"),
    "frame": (reworded("A00,Siemens,A,1,0,2", "A00,Siemens,A,1,0,9"), "frame 9 is out of range"),
    "vendor": (reworded("A00,Siemens,A", "A00,Acme,E"), "unknown vendor 'E'"),
    "group": (reworded(",DCM,", ",XYZ,"), "unknown group 'XYZ'"),
    "row without files": (lambda root: shutil.rmtree(image(root).parent), "rows without files: A00"),
    "files without row": (
        lambda root: shutil.copytree(image(root).parent, image(root).parents[1] / "Z9"),
        "folders without a row: Z9",
    ),
    "duplicate": (twice, "duplicate patients: A00"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_data_is_named_and_leaves_nothing_behind(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, said = DAMAGES[kind]
    root = Path(shutil.copytree(cohort(), tmp_path / "root"))
    damage(root)
    assert run(tmp_path / "out", root=root) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_mask_on_another_grid_is_refused_where_the_crop_needs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(cohort(), tmp_path / "root"))
    write_nifti(image(root).with_name("A00_sa_gt.nii.gz"), np.ones((20, 20, 5, 3), np.uint8))
    assert run(tmp_path / "out", "data.crop=mask", root=root) == 2
    assert "expected that of" in capsys.readouterr().err


def test_a_client_with_one_class_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = Path(shutil.copytree(cohort(), tmp_path / "root"))
    for group in ("DCM", "HCM", "DCM", "HCM"):
        reworded(f",{group},", ",NOR,")(root)
    assert run(tmp_path / "out", "--rounds=1", root=root) == 0
    said = summary(tmp_path / "out")
    assert any("vendorA: all test patients are NOR" in line for line in said["warnings"])
    assert "vendorA: all test patients are NOR" in capsys.readouterr().out
    assert said["mean_over"] == ["vendorC"]
    assert said["clients"]["vendorA"]["personal"]["auroc"] is None


def test_a_client_without_patients_to_train_on_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(cohort(), tmp_path / "root"))
    gone = {f"A{number:02d}" for number in range(2, 8)}
    lines = (root / TABLE).read_text().splitlines()
    (root / TABLE).write_text("\n".join(line for line in lines if line.split(",")[1] not in gone) + "\n")
    for code in gone:
        shutil.rmtree(image(root).parents[1] / code)
    assert run(tmp_path / "out", root=root) == 2
    assert "Use --clients vendorC" in capsys.readouterr().err


@pytest.mark.parametrize("owner", ["private", pytest.param("both", marks=pytest.mark.slow)])
def test_the_heads_owner_decides_who_holds_it(owner: str, tmp_path: Path) -> None:
    assert run(tmp_path, f"head.owner={owner}", "--rounds=1") == 0
    held = {}
    for file in ("global", "vendorA"):
        with safe_open(tmp_path / "adapters" / f"{file}.safetensors", framework="pt") as opened:
            held[file] = sorted(name for name in opened.keys() if name.startswith("head."))  # noqa: SIM118
    assert bool(held["global"]) == (owner == "both")
    assert held["vendorA"]
    assert not set(held["global"]) & set(held["vendorA"])
    scores = summary(tmp_path)["overall"]["global"]["auroc"]
    assert (scores is None) == (owner == "private"), "without a shared head nothing can be said of a new vendor"


def test_diagnoses_can_be_the_classes(tmp_path: Path) -> None:
    assert run(tmp_path, "data.label=group", "--rounds=1") == 0
    assert summary(tmp_path)["classes"] == ["NOR", "DCM", "HCM"]
    assert {"p_NOR", "p_DCM", "p_HCM"} <= set(predictions(tmp_path)[0])


@pytest.mark.slow
def test_kept_prefixes_change_no_prediction(tmp_path: Path) -> None:
    assert run(tmp_path, "prefix.keep=false", "--rounds=1", "--clients=vendorA") == 0
    assert run(tmp_path / "kept", "--rounds=1", "--clients=vendorA") == 0
    for one, other in zip(predictions(tmp_path), predictions(tmp_path / "kept"), strict=True):
        assert one["patient"] == other["patient"]
        assert float(one["p_disease"]) == pytest.approx(float(other["p_disease"]), abs=1e-5)


def test_kept_in_half_the_space_prefixes_hardly_change_a_prediction(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "prefix.dtype=bfloat16", "--rounds=1") == 0
    assert "Frozen prefixes: 16 to make" in capsys.readouterr().out
    assert run(tmp_path / "kept", "--rounds=1") == 0
    for one, other in zip(predictions(tmp_path), predictions(tmp_path / "kept"), strict=True):
        assert float(one["p_disease"]) == pytest.approx(float(other["p_disease"]), abs=0.02)


def test_prefixes_beyond_the_limit_are_refused_before_any_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "out", "prefix.limit_gb=0.001", "prefix.dtype=bfloat16") == 2
    assert "Raise prefix.limit_gb" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("wish", ["task.balance=sampling", "task.balance=none", "task.threshold=validation"])
def test_other_balances_and_thresholds_run_to_the_end(wish: str, tmp_path: Path) -> None:
    assert run(tmp_path, wish, "--rounds=1") == 0
    assert 0 <= summary(tmp_path)["threshold"]["last"][0] <= 1


ALWAYS_RUN = ("pooled", "flora", "fedalt", "fedln")
"""One that pools, one that folds, one with a mix for each token, one that opens layers; the others take their time."""


@pytest.mark.parametrize(
    "algorithm",
    [
        *ALWAYS_RUN,
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in catalogue.names("algorithms")
            if name not in ALWAYS_RUN
        ),
    ],
)
def test_every_algorithm_runs_to_the_end_and_its_adapters_score_again(algorithm: str, tmp_path: Path) -> None:
    assert run(tmp_path, f"--algorithm={algorithm}", "--rounds=2") == 0
    said = summary(tmp_path)
    assert list(said["clients"]) == ["vendorA", "vendorC"], "whoever trains, patients keep their client"
    has_own_head = getattr(catalogue.entry("algorithms", algorithm).module, "HEAD", "") == "private"
    assert (said["mean"]["global"]["balanced_accuracy"] is None) == has_own_head
    assert (said["parameters"]["shared"] > 0) == (algorithm not in ("local_only", "frozen_private_head"))
    client = "" if algorithm == "pooled" else "vendorA"
    assert finished_model(tmp_path, client).client == client, "its adapters load again"


def test_with_half_of_the_clients_a_round_writes_down_who_took_part(tmp_path: Path) -> None:
    assert run(tmp_path / "half", "participation=0.5", "--rounds=6") == 0
    closed = read_rounds(tmp_path / "half")
    took_part = [tuple(round.weights) for round in closed]
    assert {len(clients) for clients in took_part} == {1}
    assert set(took_part) == {("vendorA",), ("vendorC",)}, "both are drawn in six rounds of this seed"
    for round in closed:
        assert round.bytes_up.keys() == round.bytes_down.keys() == round.losses.keys() == round.weights.keys()
        assert set(round.scores) == {"vendorA", "vendorC"}, "who is away is scored all the same"


def test_a_run_with_participation_that_was_cut_goes_on_with_the_same_draws(tmp_path: Path) -> None:
    assert run(tmp_path / "whole", "participation=0.5", "--rounds=3") == 0
    assert run(tmp_path / "grown", "participation=0.5", "--rounds=1") == 0
    assert main(["--resume", str(tmp_path / "grown"), "--rounds=3"]) == 0
    assert read_rounds(tmp_path / "grown") == read_rounds(tmp_path / "whole")


def test_the_journal_tells_what_averaging_the_factors_apart_has_lost() -> None:
    for round in read_rounds(finished()):
        assert set(round.aggregation) == {"error", "cosine"}
        assert 0 < round.aggregation["error"] < 2
        assert -1 <= round.aggregation["cosine"] <= 1
