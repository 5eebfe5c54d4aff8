"""The comparison table: several algorithms, several seeds, same patients, one budget.

    python -m fedcmr.table --algorithms med_dual_lora,fedavg_lora,local_only --seeds 3

Each run is a folder of its own below <out>/runs; a finished one is never run again, an unfinished one goes on. With
engine.workers=N the runs are shared among N long-lived processes; the numbers are the same.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr import catalogue
from fedcmr.arguments import configured, guarded, parser

if TYPE_CHECKING:
    import argparse

    from fedcmr.config import Config
    from fedcmr.reports.comparing import Repeats
    from fedcmr.tabling import Job

CORE = (
    "med_dual_lora",
    "fedavg_lora",
    "local_only",
    "pooled",
    "head_only",
    "fedavg_lora_finetuned",
    "ditto_lora",
    "sdflora",
    "feddpa",
    "fedalt",
    "fedsa_lora",
    "ffa_lora",
    "orthogonal_lora",
)
"""The rows where none are named: Med-DualLoRA, its rank-matched controls, simple rivals, nearest twins."""

REFERENCE = "med_dual_lora"
"""The row that others are compared with; the first one where it is not among them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("table", "Compare algorithms over seeds, in one table.")
    made.add_argument("--algorithms", help="comma-separated, or all (default: the core; see fedcmr/table.py)")
    made.add_argument("--seeds", type=int, metavar="N", help="repeats, with seed + 0 … N-1 (default 1)")
    made.add_argument("--tuned", type=Path, metavar="FILE", help="grid.json: each row with the knobs chosen there")
    said = made.parse_intermixed_args(arguments)

    def command() -> int:
        try:
            write(said)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt("Go on by the same command: what is finished is not run again.") from interrupt
        return 0

    return guarded(command, said.debug)


def rows_asked(algorithms: str | None, configured: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the rows, in order, from the flag or the configuration; the core where neither names any.

    Raises: ValueError for an unknown, repeated or doubly given one.
    """
    known = catalogue.names("algorithms")
    if algorithms is None:
        named = list(configured or CORE)
    else:
        named = known if algorithms == "all" else [name.strip() for name in algorithms.split(",") if name.strip()]
    for name in named:
        if name not in known:
            raise ValueError(catalogue.unknown("algorithm", name, known))
    if not named or len(set(named)) != len(named):
        raise ValueError(f"--algorithms {algorithms}: expected each algorithm once, at least one.")
    return tuple(named)


def write(said: "argparse.Namespace") -> Path:
    """Runs what is missing, writes the table and its figures, prints it; returns the folder."""
    from rich.console import Console

    from fedcmr.knobs import TableKnobs
    from fedcmr.reports.comparing import comparison_table, unit_of
    from fedcmr.reports.figures import draw_all
    from fedcmr.reports.wandb_log import log_table
    from fedcmr.reports.writing import terminal_table, write_table
    from fedcmr.tabling import mask_controls, prepare, processes_of, run_all

    if said.algorithm is not None:
        raise ValueError("A table takes --algorithms (comma-separated), not --algorithm.")
    strays = [text for text in said.overrides if text.startswith("algorithm")]
    if strays:
        raise ValueError(f"{strays[0]} is one algorithm's knob; a table takes every algorithm with its own defaults.")
    console, base = Console(), configured(_with(said, [] if said.seeds is None else [f"table.seeds={said.seeds}"]))
    knobs = base.of("table", TableKnobs)
    algorithms = rows_asked(said.algorithms, knobs.algorithms)
    folder = said.out or Path("tables") / f"{base.names['data']}-{base.digest(NOT_THE_FOLDERS)[:8]}"
    jobs = _jobs(said, base, algorithms, knobs.seeds, folder, _tuned(said.tuned) if said.tuned else {})
    processes = processes_of(base)
    prepare(jobs, processes, console)
    summaries = run_all(
        jobs, processes, folder.name, lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)
    )
    repeats = [repeats_of(name, [job for job in jobs if job.algorithm == name], summaries) for name in algorithms]
    masks = {"volumes_and_ef": mask_controls(jobs, folder)}
    table = comparison_table(reference_first(repeats), unit_of(base.names["data"]), masks)
    write_table(folder, table)
    draw_all(folder, table, {repeat.algorithm: repeat for repeat in repeats})
    log_table(folder, folder.name, table)
    console.print(terminal_table(table))
    console.print(f"Table, figures and runs: {folder}", highlight=False, markup=False)
    return folder


NOT_THE_FOLDERS = ("engine", "algorithm", "table")
"""Sections that do not bear on the folder's name: more rows or seeds go on in the same folder."""


def _jobs(
    said: "argparse.Namespace",
    base: "Config",
    algorithms: Sequence[str],
    seeds: int,
    folder: Path,
    tuned: Mapping[str, Sequence[str]],
) -> "list[Job]":
    """The runs, federation by federation.

    Args:
        tuned: algorithm -> knobs of its own, `key=value`.
    """
    from fedcmr.tabling import Job, in_federation

    jobs = []
    for repeat in range(seeds):
        for name in algorithms:
            own = [f"algorithm.name={name}", *tuned.get(name, ()), *in_federation(base, repeat)]
            jobs.append(Job(name, repeat, configured(_with(said, own)), folder / "runs" / f"{name}-{repeat}"))
    return jobs


def _tuned(file: Path) -> dict[str, list[str]]:
    """Algorithm -> knobs, as experiments/grid.py chose them. Raises: ValueError where the file does not say them."""
    import json

    try:
        chosen = json.loads(file.read_text(encoding="utf-8"))["chosen"]
        return {name: [f"{key}={value}" for key, value in knobs.items()] for name, knobs in chosen.items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"--tuned {file}: expected a grid.json of experiments/grid.py ({error!r}).") from error


def repeats_of(
    algorithm: str, jobs: "Sequence[Job]", summaries: "Mapping[tuple[str, int], Mapping[str, object]]"
) -> "Repeats":
    """One algorithm's runs, read back from their folders."""
    from fedcmr.reports.comparing import Repeats
    from fedcmr.reports.journal import read_predictions, read_rounds, seconds_of

    return Repeats(
        algorithm,
        [summaries[algorithm, job.repeat] for job in jobs],
        [seconds_of(job.folder) for job in jobs],
        [read_rounds(job.folder) for job in jobs],
        [read_predictions(job.folder)[1] for job in jobs],
    )


def reference_first(repeats: "Sequence[Repeats]") -> "list[Repeats]":
    return sorted(repeats, key=lambda repeat: repeat.algorithm != REFERENCE)


def _with(said: "argparse.Namespace", overrides: Sequence[str]) -> "argparse.Namespace":
    from argparse import Namespace

    return Namespace(**{**vars(said), "overrides": [*said.overrides, *overrides], "algorithm": None})


if __name__ == "__main__":
    sys.exit(main())
