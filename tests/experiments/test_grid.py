"""The search: a plan that is equal for all, and a choice in which no test patient has a say."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import grid
import pytest
from grid import OTHER_RATES, OWN, RATES, TRIALS, choose, counting, flags_of, jobs_of, main, trials_of, validated
from made_runs import cohort

from fedcmr import catalogue
from fedcmr.arguments import configure
from fedcmr.config import Config, fill, gather
from fedcmr.federation.tuner import Knobs as VisitKnobs
from fedcmr.messages import Round
from fedcmr.reports.journal import append_timing, write_rounds
from fedcmr.tabling import Job

ALGORITHMS = catalogue.names("algorithms")


def settled(algorithm: str, overrides: Sequence[str]) -> Config:
    """The two sections that a trial sets, as a run's configuration would have them; the method is built, too."""
    entry = catalogue.entry("algorithms", algorithm)
    raw = gather(None, {"algorithm.name": algorithm}, overrides)
    config = fill(raw, {"algorithm": (entry.knobs,), "visit": (VisitKnobs,)})
    entry.build(config.of("algorithm", entry.knobs))
    return config


def closed(number: int, losses: Mapping[str, float | None]) -> Round:
    """A round in which each of these clients has ten validation patients; "" has none."""
    views = {
        client: {
            view: {"log_loss": loss, "balanced_accuracy": None if loss is None else 1 - loss, "n": 10 if client else 0}
            for view in ("personal", "global")
        }
        for client, loss in losses.items()
    }
    return Round(number, {}, {}, views, {}, {})


def entry(number: int, log_loss: float | None, rate: float = 3e-3, algorithm: str = "pooled") -> dict[str, object]:
    knobs = {"visit.lr": rate}
    return {"algorithm": algorithm, "number": number, "knobs": knobs, "log_loss": log_loss, "balanced_accuracy": 0.75}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_method_has_equally_many_trials_and_its_default_is_the_first(algorithm: str) -> None:
    trials = trials_of(algorithm)
    settings = [settled(algorithm, trial.overrides).digest() for trial in trials]
    assert len(set(settings)) == len(settings) == TRIALS
    assert settings[0] == settled(algorithm, []).digest()
    assert [trial.number for trial in trials] == list(range(TRIALS))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_whatever_is_neither_rank_nor_scale_can_be_searched_and_nothing_else_is(algorithm: str) -> None:
    names = {knob.name for knob in fields(catalogue.entry("algorithms", algorithm).knobs)}
    own = {name for name in names if not name.startswith(("rank", "alpha"))}
    assert (algorithm in OWN) == bool(own)
    assert {key for trial in trials_of(algorithm) for key in trial.knobs} <= {
        "visit.lr",
        *(f"algorithm.{name}" for name in own),
    }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_method_that_fixes_plain_sgd_has_rates_of_its_own(algorithm: str) -> None:
    made = catalogue.entry("algorithms", algorithm)
    assert (made.build(made.knobs()).optimizer == "sgd") == (algorithm in OTHER_RATES)


def test_an_own_knob_costs_steps_of_the_rate_and_none_of_its_range() -> None:
    alone = [trial.knobs["visit.lr"] for trial in trials_of("fedavg_lora")]
    beside = [trial.knobs["visit.lr"] for trial in trials_of("fedprox_lora")]
    assert sorted(alone) == list(RATES)
    assert set(beside) == {min(alone), 3e-3, max(alone)}
    assert alone[:3] == [3e-3, 2.12e-3, 4.24e-3]
    for rates in (RATES, *OTHER_RATES.values()):
        steps = [later / sooner for sooner, later in pairwise(rates)]
        assert max(steps) / min(steps) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--algorithms=fedavg"], "Did you mean 'fedavg_lora'"),
        (["--seeds=0"], "expected at least 1"),
        (["--rounds=0"], "expected both at least 1"),
        (["visit.lr=0.1"], "sets learning rate and algorithm's knobs"),
        (["algorithm.rank=4"], "sets learning rate and algorithm's knobs"),
        (["data.seed=100"], "expected 200 or more"),
        (["data.folds=5"], "a test patient of another"),
        (["--data=mnms", "data.root=nowhere"], "data.split=official or data.split=vendor"),
        (["data.sed=201"], "Did you mean 'data.seed'"),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_runs(
    typed: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*typed, f"--out={tmp_path / 'out'}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_runs_are_the_tables_but_for_their_patients() -> None:
    flags = flags_of(SimpleNamespace(data=None, rounds=2, seeds=2, overrides=[]))
    base, table = configure(flags=flags), configure(file="table")
    changed = ("data", "table", "rounds", "controls")
    assert base.digest(changed) == table.digest(changed)
    jobs = jobs_of([*trials_of("pooled")[:2], *trials_of("fedrep")[:1]], [], flags, base, Path("out"))
    assert len({(job.algorithm, job.repeat) for job in jobs}) == len({job.folder for job in jobs}) == 6
    plain = [job.config.plain() for job in jobs]
    assert [(one["seed"], one["data"]["seed"]) for one in plain] == [(0, 200)] * 3 + [(1, 201)] * 3
    assert {one["engine"]["workers"] for one in plain} == {1}
    assert [one["visit"]["lr"] for one in plain[:3]] == [3e-3, 2.12e-3, 3e-3]


def test_a_score_is_the_last_rounds_mean_over_clients_who_have_validation_patients() -> None:
    rounds = [closed(1, {"vendorA": 0.1, "vendorB": 0.1}), closed(2, {"vendorA": 0.2, "vendorB": 0.6, "": None})]
    assert validated(rounds, "log_loss") == pytest.approx(0.4)
    assert validated(rounds, "balanced_accuracy") == pytest.approx(0.6)
    assert validated([*rounds, closed(3, {"vendorA": 0.1, "vendorB": None})], "log_loss") is None


def test_the_smallest_loss_is_chosen_and_of_equals_the_one_nearest_the_default() -> None:
    assert choose([entry(0, 0.5), entry(1, 0.4), entry(2, 0.4)])["number"] == 1
    assert choose([entry(0, None), entry(1, 0.9)])["number"] == 1
    assert choose([entry(0, None), entry(1, None)])["number"] == 0


def test_what_a_run_scored_on_test_patients_is_not_passed_on() -> None:
    said: list[str] = []
    told = counting(2, said.append)
    told("[1/2] pooled, federation 1: balanced accuracy 0.987; about 5 min left")
    told("[2/2] pooled, federation 1: balanced accuracy 0.987; about 0 min left")
    assert [line.split()[0] for line in said] == ["[1/2]", "[2/2]"]
    assert "0.987" not in "".join(said)


def test_a_row_shows_the_chosen_beside_the_default_and_all_trials() -> None:
    own = [entry(0, 0.5), entry(1, 0.4, 6e-3), entry(2, None, 1.2e-2)]
    assert grid.row("pooled", own) == (
        "| pooled | 3 | visit.lr 0.006 | 0.400 | 0.500 | 0.400 to 0.500, 1 undefined | 0.750 |"
    )
    assert "visit.lr 0.012 (edge)" in grid.row("pooled", [*own[:2], entry(2, 0.3, 1.2e-2)])
    assert "| - | - | -, 1 undefined | 0.750 |" in grid.row("pooled", [entry(0, None)])


def test_a_choice_needs_journals_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def runs(jobs: Sequence[Job], processes: int, group: str, say: Callable[[str], None]) -> None:
        for job in jobs:
            rate = job.config.of("visit", VisitKnobs).lr
            write_rounds(job.folder, [closed(1, {"vendorA": abs(rate - 6e-3), "vendorB": abs(rate - 6e-3)})])
            append_timing(job.folder, {"part": "run", "seconds": 2.0})
            say("balanced accuracy 0.987")

    monkeypatch.setattr(grid, "prepare", lambda jobs, processes, console: len(jobs))
    monkeypatch.setattr(grid, "run_all", runs)
    assert main(["--algorithms=head_only", "--seeds=1", f"--out={tmp_path}"]) == 0
    said = json.loads((tmp_path / "grid.json").read_text())
    assert said["chosen"] == {"head_only": {"visit.lr": 6e-3}}
    assert said["plan"]["trials"] == len(said["trials"]) == TRIALS
    assert said["trials"][0]["log_loss"] == pytest.approx(3e-3)
    assert said["trials"][0]["seconds"] == [2.0]
    printed = capsys.readouterr().out
    assert (tmp_path / "grid.md").read_text() in printed
    assert "0.987" not in printed


@pytest.mark.slow
def test_test_patients_have_no_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(grid, "trials_of", lambda algorithm: trials_of(algorithm)[:2])
    where = [f"data.root={cohort()}", "data.split=vendor", "data.twins=no", "clients=vendorA,vendorC"]
    typed = [
        "--data=mnms",
        *where,
        "--algorithms=head_only,fedavg_lora",
        "--seeds=2",
        "--rounds=1",
        f"--out={tmp_path}",
    ]
    assert main(typed) == 0
    assert "8 runs in 2 process(es) will take about" in capsys.readouterr().out
    chosen = (tmp_path / "grid.json").read_bytes()
    assert len({one["log_loss"] for one in json.loads(chosen)["trials"]}) == 4, "each trial trains otherwise"
    for folder in (tmp_path / "runs").iterdir():
        (folder / "predictions.csv").write_text("spoiled")
        (folder / "summary.json").write_text('{"rounds": 1}')  # only how far it went
    assert main(typed) == 0
    assert "8 of them finished already" in capsys.readouterr().out
    assert (tmp_path / "grid.json").read_bytes() == chosen
