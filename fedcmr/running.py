"""The course of a run: claim a folder, put the parts together, go through every fold's rounds, write it all down."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fedcmr import catalogue
from fedcmr.config import Config
from fedcmr.federation.rounds import Closed, Engine, Visited, rounds
from fedcmr.federation.state import State
from fedcmr.knobs import RunKnobs
from fedcmr.messages import Prediction, Round, Server
from fedcmr.parts import Parts, Recipe, parts_of
from fedcmr.readying import ready
from fedcmr.reports import journal
from fedcmr.reports.choosing import chosen_round
from fedcmr.reports.folder import Found, claim, give_up, look
from fedcmr.reports.journal import CHOSEN, LAST, Reported
from fedcmr.reports.progress import Progress
from fedcmr.reports.tables import print_roles, print_run
from fedcmr.reports.wandb_log import WandbLog
from fedcmr.results import FoldEnd, provenance, role_groups, write_down
from fedcmr.strategy.participating import Draw, Drawn


@dataclass(frozen=True)
class Result:
    """A finished run: its folder, and what its summary.json says."""

    folder: Path
    summary: Mapping[str, object]


def course(config: Config, folder: Path, resume: bool) -> Result:
    """Runs everything and prints it; a run that is finished already is only printed."""
    console = Console()
    summary = train(config, folder, resume, console, folder.name)
    print_run(console, summary)
    console.print(f"All of it: {folder}", highlight=False, markup=False, soft_wrap=True)
    return Result(folder, summary)


def train(config: Config, folder: Path, resume: bool, console: Console, group: str) -> Mapping[str, object]:
    """Runs everything; returns the summary, at once where the folder holds this run finished.

    Args:
        group: under which its W&B runs stand together.
    """
    found = look(folder, config, resume)
    if found is Found.FINISHED:
        console.print(f"{folder} holds this run, finished.", highlight=False, markup=False, soft_wrap=True)
        return journal.read_summary(folder)
    began = time.perf_counter()
    parts = parts_of(Recipe(config))
    parts.check_quorum()
    for line in (*provenance(parts), *parts.warnings):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    sides = [(parts, parts.inputs_wanted())]
    if parts.blanks_heart:
        sides.append((parts.blanked(), parts.tests_wanted()))
    ready(sides, console, os.cpu_count() or 1)
    print_roles(console, role_groups(parts))
    with _claimed(folder, config, found, began):
        return _trained(parts, folder, console, group)


@contextmanager
def _claimed(folder: Path, config: Config, found: Found, began: float) -> Iterator[None]:
    """The folder is this run's. Where the first go fails before its first round, nothing of it stays."""
    claim(folder, config)
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as interrupt:
        # Lightning turns an interrupt inside a fit into an exit
        raise KeyboardInterrupt(f"Go on by: python -m fedcmr.run --resume {folder}") from interrupt
    except (ValueError, OSError):
        if found is Found.NOTHING:
            give_up(folder)
        raise
    finally:
        if folder.exists():
            journal.append_timing(folder, {"part": "run", "seconds": time.perf_counter() - began})


def _trained(parts: Parts, folder: Path, console: Console, group: str) -> Mapping[str, object]:
    """Every fold's rounds, and what they leave in the folder."""
    clients, folds = sorted(parts.folds[0]), len(parts.folds)
    log = WandbLog(folder, group, parts.config.plain(), clients, not parts.is_phantom, folds)
    with log, Progress(parts.config.of("", RunKnobs).rounds, clients, console, folds, _draw(parts)) as progress:
        ends = [run_fold(parts.at(fold), folder, log, progress) for fold in range(folds)]
        summary = write_down(parts, folder, ends)
        log.finish(summary, [row for end in ends for row in end.rows], parts.task)
    return summary


def run_fold(parts: Parts, folder: Path, log: WandbLog, progress: Progress) -> FoldEnd:
    """Goes through the rounds of one fold, from the newest saved one, and scores its test patients."""
    config, fold = parts.config, parts.recipe.fold
    knobs = config.of("", RunKnobs)
    state = State(folder, fold)
    with engine_of(parts) as engine:
        saved = state.rounds()
        server = state.load(engine, saved[-1]) if saved else engine.initial()
        past = _forget_later(folder, fold, server.round)
        began = time.perf_counter()
        for event in rounds(parts.strategy, engine, knobs.rounds, server, past, fold, knobs.quorum, _draw(parts)):
            match event:
                case Visited(handover, number):
                    progress.visited(handover.client, handover.loss)
                    journal.append_timing(
                        folder,
                        {"fold": fold, "round": number, "client": handover.client, "seconds": handover.seconds},
                    )
                case Closed(closed, server, validation):
                    past.append(closed)
                    journal.append_round(folder, closed)
                    state.save(engine, server, chosen_round(past))
                    log.round(closed, validation.overall)
                    progress.closed(closed, time.perf_counter() - began)
                    began = time.perf_counter()
        return _ended(parts, engine, state, server, past)


def _draw(parts: Parts) -> Draw:
    """Who takes part in a round."""
    knobs = parts.config.of("", RunKnobs)
    return Drawn(knobs.participation, knobs.quorum, knobs.seed)


def engine_of(parts: Parts) -> Engine:
    """The engine that the configuration names, for this fold."""
    entry = catalogue.entry("engines", parts.config.names["engine"])
    engine: Engine = entry.build(parts.config.of("engine", entry.knobs), parts)
    return engine


def _ended(parts: Parts, engine: Engine, state: State, server: Server, past: Sequence[Round]) -> FoldEnd:
    """Scores the test patients of the chosen and of the last round."""
    chosen, fold, last = chosen_round(past), parts.recipe.fold, server.round
    tested = {number: _tested(parts, engine, state, number) for number in dict.fromkeys((chosen, last))}
    numbers = {CHOSEN: chosen, LAST: last}
    rows = [
        row
        for which, number in numbers.items()
        for row in journal.reported(parts.task, tested[number][1], fold, which, tested[number][0])
    ]
    hidden: list[Reported] = []
    if parts.blanks_heart:
        with engine_of(parts.blanked()) as blind:
            predictions = blind.evaluate(state.load(blind, last), "test").predictions
            hidden = journal.reported(parts.task, predictions, fold, LAST, tested[last][0])
    thresholds = {which: tested[number][0] for which, number in numbers.items()}
    return FoldEnd(server, state.kept(last), tuple(past), chosen, thresholds, tuple(rows), tuple(hidden))


def _tested(parts: Parts, engine: Engine, state: State, number: int) -> tuple[float, Sequence[Prediction]]:
    """The threshold that validation patients give after this round, and the predictions of its test patients."""
    at = state.load(engine, number)
    own = [prediction for prediction in engine.evaluate(at, "val").predictions if prediction.view == "personal"]
    threshold = parts.task.threshold([one.label for one in own], [one.probabilities for one in own])
    return threshold, engine.evaluate(at, "test").predictions


def _forget_later(folder: Path, fold: int, round: int) -> list[Round]:
    """Past rounds of this fold; rounds that were written down but not saved are run again."""
    written = journal.read_rounds(folder)
    kept = [past for past in written if past.fold != fold or past.number <= round]
    if len(kept) < len(written):
        journal.write_rounds(folder, kept)
    return [past for past in kept if past.fold == fold]
