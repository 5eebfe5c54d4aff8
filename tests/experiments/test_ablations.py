"""One thing changed at a time: what each row changes, and one small course of it all."""

import json
from pathlib import Path

import pytest
from ablations import ABLATIONS, DEFAULT, chosen, main, random_blocks

from fedcmr.arguments import configure
from fedcmr.config import flattened
from fedcmr.models.adapters import chosen_blocks
from fedcmr.models.tiny import SHAPE

SAID = {name: flattened(configure(knobs, "table").plain()) for name, knobs in ABLATIONS.items()}


@pytest.mark.parametrize("name", [name for name in ABLATIONS if name != DEFAULT])
def test_a_row_changes_what_it_names_and_nothing_else(name: str) -> None:
    changed = {key for key, value in SAID[name].items() if value != SAID[DEFAULT][key]}
    assert changed == {knob.partition("=")[0] for knob in ABLATIONS[name]}


def test_blocks_are_adapted_where_their_names_say() -> None:
    blocks = {name: chosen_blocks(said["adapter.blocks"], SHAPE.depth) for name, said in SAID.items()}
    assert blocks[DEFAULT] == [4, 5]
    assert blocks["last block"] == [5]
    assert blocks["last four blocks"] == [2, 3, 4, 5]
    assert blocks["first two blocks"] == [0, 1]
    assert len(blocks["all blocks"]) == SHAPE.depth
    drawn = {tuple(own) for name, own in blocks.items() if name.startswith("two random")}
    assert len(drawn) == 3, "three draws, each another pair"
    assert random_blocks(2, 1) == random_blocks(2, 1)


def test_the_default_always_stands_first() -> None:
    assert chosen(None)[0] == DEFAULT
    assert chosen("private head, all blocks") == [DEFAULT, "private head", "all blocks"]
    with pytest.raises(ValueError, match="Did you mean 'private head'"):
        chosen("privat head")


def test_an_unknown_row_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only=heads", f"--out={tmp_path}"]) == 2
    assert "row of --only" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_course_on_a_small_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    small = ["data.scale=12", "data.test_per_vendor=8", "rounds=1", "engine.workers=1"]
    rows = "last block,clients weigh equally,ranks 1 and 1"
    assert main([f"--only={rows}", "--seeds=1", f"--out={tmp_path}", *small]) == 0
    said = json.loads((tmp_path / "table.json").read_text())
    assert said["reference"] == DEFAULT
    sent = {row["algorithm"]: row["bytes_up_per_client_and_round"] for row in said["rows"]}
    assert sent["ranks 1 and 1"] < sent["last block"] < sent[DEFAULT]
    assert sent["clients weigh equally"] == pytest.approx(sent[DEFAULT], abs=50)
