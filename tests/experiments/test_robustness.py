"""One bad client of five: what rows change, who is who, the sums of the table, and one small course of it all."""

import json
from collections import Counter
from pathlib import Path

import pytest
import robustness
from attacks.course import Cell, Outcome, likeness, outcome_of, with_halves
from attacks.table import MEAN, NO_ATTACK, markdown, summed_up
from attacks.updates import as_trained
from robustness import COLUMNS, ROWS, chosen, main, planned
from torch import tensor

from fedcmr.arguments import configure
from fedcmr.config import flattened
from fedcmr.data.cases import Case, Frame
from fedcmr.messages import Server, Update
from fedcmr.parts import strategy_of
from fedcmr.serving import DEFENCES
from fedcmr.strategy.robust import Krum
from fedcmr.strategy.weighing import equally

FRAME = Frame(Path("made"), None, None)
HONEST = ("vendorA", "vendorB1", "vendorC", "vendorD")
BAD = "vendorB2"


def cases(client: str, count: int) -> list[Case]:
    return [
        Case(f"{client}{index:02d}", client, "NOR" if index % 2 else "DCM", FRAME, FRAME, part, (1, 2, 3), "made")
        for part in ("training", "testing")
        for index in range(count * (part == "testing"), count * (1 + (part == "testing")))
    ]


def outcome(values: dict[str, float], alike: dict[str, float] | None = None) -> Outcome:
    scores = {
        client: {view: {"balanced_accuracy": value, "auroc": None} for view in ("personal", "global")}
        for client, value in values.items()
    }
    return Outcome(scores, alike or dict.fromkeys(values, 0.5))


def test_every_defence_has_a_row_and_each_row_changes_the_server_alone() -> None:
    plain = flattened(configure((), "table").plain())
    assert {row.replace(" ", "_") for row in ROWS} == {"mean", "equal_mean", *DEFENCES}
    for wishes in ROWS.values():
        said = flattened(configure(wishes, "table").plain())
        assert {key for key in said if said[key] != plain[key]} == {wish.partition("=")[0] for wish in wishes}
    assert strategy_of(configure(ROWS["krum"], "table"))[0].combine == Krum()
    assert strategy_of(configure(ROWS["median"], "table"))[0].weigh is equally


def test_the_mean_always_stands_first_and_an_unknown_row_is_refused() -> None:
    assert chosen(None) == list(ROWS)
    assert chosen("krum, median") == [MEAN, "krum", "median"]
    with pytest.raises(ValueError, match="Did you mean 'median'"):
        chosen("medien")


def test_the_plan_crosses_federations_rows_and_attacks(tmp_path: Path) -> None:
    cells = planned(["mean", "krum"], 2, BAD, ["rounds=1"], tmp_path)
    assert len(cells) == 2 * 2 * len(COLUMNS)
    assert len({cell.file for cell in cells}) == len({cell.identity for cell in cells}) == len(cells)
    assert [cell.column for cell in cells if cell.flips] == ["flipped labels"] * 4
    seeds = {(cell.config.plain()["seed"], cell.config.plain()["data"]["seed"]) for cell in cells}
    assert seeds == {(0, 100), (1, 101)}
    with pytest.raises(ValueError, match="--seeds 0: expected at least 1"):
        planned(["mean"], 0, BAD, [], tmp_path)


def test_the_largest_client_becomes_two_of_like_size_and_mix_and_the_others_stay() -> None:
    everyone = [*cases("vendorA", 4), *cases("vendorB", 12), *cases("vendorC", 6)]
    divided = with_halves(everyone, 0)
    assert [case.id for case in divided] == [case.id for case in everyone]
    counts = Counter((case.client, case.part, case.group) for case in divided)
    assert {counts[half, part, group] for half in ("vendorB1", "vendorB2") for part in ("training", "testing")
            for group in ("NOR", "DCM")} == {3}  # fmt: skip
    assert Counter(case.client for case in divided)["vendorA"] == 8
    assert divided == with_halves(list(everyone), 0)
    assert divided != with_halves(everyone, 1)


def test_likeness_is_the_mean_cosine_to_the_others() -> None:
    # (1, 0), (1, 0) and (0, 1): cosines 1, 0 and 0
    updates = [
        Update(client, 1, {"head.cls.bias": tensor(value)}, 1)
        for client, value in (("a", [1.0, 0.0]), ("b", [2.0, 0.0]), ("c", [0.0, 1.0]))
    ]
    found = likeness(updates, Server(0, {"head.cls.bias": tensor([0.0, 0.0])}))
    assert found == pytest.approx({"a": 0.5, "b": 0.5, "c": 0.0})


def test_scores_are_means_over_the_honest_and_the_cost_is_that_of_who_differs(tmp_path: Path) -> None:
    cells = planned(["mean", "krum"], 1, BAD, [], tmp_path)
    apart = {**dict.fromkeys(HONEST, 0.5), "vendorC": 0.1, BAD: 0.0}
    found = []
    for cell in cells:
        values = {**dict.fromkeys(HONEST, 0.8), "vendorC": 0.6 if cell.row == "mean" else 0.4, BAD: 0.0}
        found.append(outcome(values, apart))
    result = summed_up(cells, found)
    assert result["different"] == ["vendorC"], "the bad client is least alike, and does not count"
    rows = {(row["row"], row["metric"], row["view"]): row for row in result["rows"]}  # type: ignore[attr-defined]
    krum = rows["krum", "balanced_accuracy", "global"]
    assert krum["scores"][NO_ATTACK]["mean"] == pytest.approx((0.8 * 3 + 0.4) / 4)
    assert krum["cost"]["mean"] == pytest.approx(-0.2)
    assert rows["krum", "auroc", "personal"]["scores"][NO_ATTACK] == {"mean": None, "sd": None, "n": 0}
    text = markdown(result)
    assert "| krum | 0.700 | 0.700 | 0.700 | 0.700 | 0.700 | -0.200 |" in text
    assert "| mean | 0.750 | 0.750 | 0.750 | 0.750 | 0.750 |  |" in text
    assert "vendorB2 attacks" in text
    assert "simulated" in text


def test_what_is_finished_is_read_and_never_taken_for_another_run(tmp_path: Path) -> None:
    kept = outcome(dict.fromkeys(HONEST, 0.5))
    cell = Cell(MEAN, NO_ATTACK, 0, configure((), "table"), BAD, as_trained, False, tmp_path / "cell.json")
    said = {"identity": cell.identity, "scores": kept.scores, "alike": kept.alike, "refused": 0}
    cell.file.write_text(json.dumps(said))
    assert outcome_of(cell) == kept
    other = Cell(MEAN, NO_ATTACK, 0, configure(["visit.lr=1e-5"], "table"), BAD, as_trained, False, cell.file)
    with pytest.raises(ValueError, match=r"cell.json holds the answer of another configuration"):
        outcome_of(other)


def test_an_unknown_row_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only=means", f"--out={tmp_path}"]) == 2
    assert "row of --only" in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_course_on_a_small_cohort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = (NO_ATTACK, "flipped labels", "replayed update")  # on data, on updates; the others take the same way
    monkeypatch.setattr(robustness, "COLUMNS", {column: COLUMNS[column] for column in columns})
    small = ["data.scale=16", "data.test_per_vendor=4", "data.frames=2", "rounds=2"]
    wish = ["--only=krum", "--seeds=1", f"--out={tmp_path}", *small]
    assert main(wish) == 0
    result = json.loads((tmp_path / "robustness.json").read_text())
    assert tuple(result["honest"]) == HONEST
    assert result["bad"] == BAD
    rows = {(row["row"], row["metric"], row["view"]): row for row in result["rows"]}
    auroc = [rows[row, "auroc", "global"]["scores"] for row in ("mean", "krum")]
    assert all(scores[column]["n"] == 1 for scores in auroc for column in columns)
    kept = {file.name: json.loads(file.read_text())["scores"] for file in (tmp_path / "runs").iterdir()}
    assert len(kept) == 2 * len(columns)
    under_mean = [
        kept[f"mean-{column}-0.json".replace(" ", "-")]["vendorA"]["global"]["log_loss"] for column in columns
    ]
    assert len(set(under_mean)) == len(columns), "each attack reaches the mean"
    first = (tmp_path / "robustness.md").read_text()
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()}
    assert main(wish) == 0
    assert (tmp_path / "robustness.md").read_text() == first
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").iterdir()} == times, "nothing ran again"
