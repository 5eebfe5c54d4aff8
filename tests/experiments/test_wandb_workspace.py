"""The comparison workspace, without network: that it shows what fedcmr logs, and by algorithm."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import wandb_workspace
from wandb_workspace import main

from fedcmr.messages import Round
from fedcmr.reports.steps import final, of_server

SCORES = dict.fromkeys(("balanced_accuracy", "specificity", "auroc"), 0.5)
VIEWS = {"personal": SCORES, "global": SCORES}


def spec(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["--entity=hospital", "--dry", *more]) == 0
    return json.loads(capsys.readouterr().out)


def panels(said: dict[str, Any]) -> list[dict[str, Any]]:
    sections = said["spec"]["section"]["panel_bank_config"]["sections"]
    return [panel for section in sections for panel in section["panels"]]


def words(tree: object) -> Iterator[str]:
    """Every text in it."""
    if isinstance(tree, dict):
        for value in tree.values():
            yield from words(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from words(value)
    elif isinstance(tree, str):
        yield tree


def test_every_panel_shows_something_that_a_run_logs(capsys: pytest.CaptureFixture[str]) -> None:
    round = Round(
        1, {}, {}, {"vendorA": VIEWS}, {"vendorA": 1}, {"vendorA": 1}, aggregation={"error": 0.1, "cosine": 0.5}
    )
    logged = {*of_server(round, VIEWS), *final({"mean": VIEWS, "overall": VIEWS}, ("mean", "overall"))}
    shown = panels(spec(capsys))
    assert len(shown) == 10
    for panel in shown:
        assert logged & set(words(panel)), panel["config"]
    assert {"bytes/up", "test/mean/personal/balanced_accuracy", "test/mean/personal/specificity"} <= set(words(shown))


def test_runs_stand_together_by_algorithm(capsys: pytest.CaptureFixture[str]) -> None:
    for panel in panels(spec(capsys)):
        assert panel["config"]["group_by"] == "algorithm_name.value"


def test_the_runs_of_one_table_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert "phantom-1234" not in set(words(spec(capsys)))
    said = spec(capsys, "--group=phantom-1234")
    assert "phantom-1234" in set(words(said))
    assert said["display_name"] == "fedcmr: algorithms of phantom-1234"
    assert "server" in set(words(said)), "a client's own runs are left out"


def test_what_cannot_be_saved_is_one_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("no account")

    monkeypatch.setattr(wandb_workspace.Workspace, "save", refuse)
    assert main(["--entity=hospital"]) == 2
    assert "not saved (no account)" in capsys.readouterr().err
