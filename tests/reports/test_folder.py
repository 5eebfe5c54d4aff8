"""A run's folder belongs to one run, and is given up where the run failed before its first round."""

from pathlib import Path

import pytest

from fedcmr.arguments import configure
from fedcmr.config import about
from fedcmr.reports.folder import CONFIG, Found, claim, default_folder, give_up, look
from fedcmr.reports.journal import ROUNDS, SUMMARY

MINE = configure(["rounds=2"])


def test_the_default_folder_names_the_run_and_no_engine_changes_it() -> None:
    folder = default_folder(MINE, Path("runs"))
    assert folder.parent == Path("runs")
    assert folder.name.startswith("med_dual_lora-phantom-0-")
    assert folder == default_folder(configure(["rounds=2", "engine.workers=2"]), Path("runs"))
    assert folder != default_folder(configure(["rounds=2", "visit.lr=0.5"]), Path("runs"))


def test_a_claimed_folder_holds_this_run_unfinished(tmp_path: Path) -> None:
    assert look(tmp_path / "new", MINE, resume=False) is Found.NOTHING
    claim(tmp_path, MINE)
    assert look(tmp_path, MINE, resume=True) is Found.UNFINISHED
    with pytest.raises(ValueError, match=r"unfinished.*--resume"):
        look(tmp_path, MINE, resume=False)
    assert {"python", "torch", "fedcmr"} <= set(about(tmp_path / CONFIG)["versions"])


def test_a_finished_run_may_grow_and_not_shrink(tmp_path: Path) -> None:
    claim(tmp_path, MINE)
    (tmp_path / SUMMARY).write_text('{"rounds": 2}')
    assert look(tmp_path, MINE, resume=False) is Found.FINISHED
    assert look(tmp_path, configure(["rounds=3"]), resume=True) is Found.UNFINISHED
    with pytest.raises(ValueError, match="more than the 1 asked for"):
        look(tmp_path, configure(["rounds=1"]), resume=True)


def test_what_is_no_folder_of_this_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run to resume"):
        look(tmp_path, MINE, resume=True)
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds other files"):
        look(tmp_path, MINE, resume=False)
    with pytest.raises(ValueError, match=r"letter\.txt is a file; expected a folder"):
        look(tmp_path / "letter.txt", MINE, resume=False)
    claim(tmp_path, configure(["seed=4"]))
    with pytest.raises(ValueError, match="holds another run"):
        look(tmp_path, MINE, resume=False)


def test_a_folder_is_given_up_only_before_the_first_round(tmp_path: Path) -> None:
    for name in ("failed", "begun"):
        claim(tmp_path / name, MINE)
    (tmp_path / "begun" / ROUNDS).write_text("{}\n")
    give_up(tmp_path / "failed")
    give_up(tmp_path / "begun")
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]
