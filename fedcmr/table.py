"""The comparison table: several algorithms, several seeds, same patients, one budget.

    python -m fedcmr.table --algorithms med_dual_lora,fedavg_lora,local_only --seeds 3

Each run is a folder of its own below <out>/runs; a finished one is never run again, an unfinished one goes on.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr import catalogue
from fedcmr.arguments import configured, guarded, parser

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from fedcmr.reports.comparing import Repeats

CORE = ("med_dual_lora", "fedavg_lora", "local_only", "head_only", "pooled")
"""The rows where none are named; the first is what the others are compared with."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("table", "Compare algorithms over seeds, in one table.")
    made.add_argument("--algorithms", help=f"comma-separated, or all (default: {','.join(CORE)})")
    made.add_argument("--seeds", type=int, default=1, metavar="N", help="repeats, with seed + 0 … N-1 (default 1)")
    said = made.parse_intermixed_args(arguments)

    def command() -> int:
        try:
            write(said, rows_asked(said.algorithms, said.algorithm), said.seeds)
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt("Go on by the same command: what is finished is not run again.") from interrupt
        return 0

    return guarded(command, said.debug)


def rows_asked(algorithms: str | None, algorithm: str | None) -> tuple[str, ...]:
    """Names of the rows, in order. Raises: ValueError for an unknown, repeated or doubly given one."""
    known = catalogue.names("algorithms")
    if algorithm is not None:
        raise ValueError("A table takes --algorithms (comma-separated), not --algorithm.")
    if algorithms is None:
        return CORE
    named = known if algorithms == "all" else [name.strip() for name in algorithms.split(",") if name.strip()]
    for name in named:
        if name not in known:
            raise ValueError(catalogue.unknown("algorithm", name, known))
    if not named or len(set(named)) != len(named):
        raise ValueError(f"--algorithms {algorithms}: expected each algorithm once, at least one.")
    return tuple(named)


def write(said: "argparse.Namespace", algorithms: Sequence[str], seeds: int) -> Path:
    """Runs what is missing, writes the table and its figures, prints it; returns the folder."""
    from rich.console import Console

    from fedcmr.reports.comparing import comparison_table
    from fedcmr.reports.figures import draw_learning, draw_scores
    from fedcmr.reports.journal import read_rounds
    from fedcmr.reports.writing import terminal_table, write_table

    if seeds < 1:
        raise ValueError(f"--seeds {seeds}: expected at least 1.")
    strays = [text for text in said.overrides if text.startswith("algorithm")]
    if strays:
        raise ValueError(f"{strays[0]} is one algorithm's knob; a table takes every algorithm with its own defaults.")
    console, base = Console(), configured(said)
    folder = said.out or Path("tables") / f"{base.names['data']}-{base.digest(['engine', 'algorithm'])[:8]}"
    repeats, folders = [], {}
    for number, name in enumerate(algorithms, start=1):
        console.print(f"[bold]{name}[/] ({number} of {len(algorithms)})", highlight=False)
        folders[name] = [folder / "runs" / f"{name}-{repeat}" for repeat in range(seeds)]
        repeats.append(_repeats(said, name, folders[name], console))
    table = comparison_table(repeats, is_primary=base.names["data"] == "phantom")
    write_table(folder, table)
    draw_scores(folder, table)
    draw_learning(folder, {name: [read_rounds(run) for run in runs] for name, runs in folders.items()})
    console.print(terminal_table(table))
    console.print(f"Table, figures and runs: {folder}", highlight=False, markup=False)
    return folder


def _repeats(said: "argparse.Namespace", algorithm: str, folders: Sequence[Path], console: "Console") -> "Repeats":
    """One algorithm with every seed; on phantoms each seed draws a new federation. Finished runs are only read."""
    from fedcmr.reports.comparing import Repeats
    from fedcmr.reports.folder import CONFIG
    from fedcmr.reports.journal import seconds_of
    from fedcmr.running import train

    summaries = []
    for repeat, folder in enumerate(folders):
        config = configured(_with(said, [f"algorithm.name={algorithm}", *_seeds(said, repeat)]))
        summaries.append(train(config, folder, (folder / CONFIG).exists(), console, folder.parents[1].name))
    return Repeats(algorithm, summaries, [seconds_of(folder) for folder in folders])


def _seeds(said: "argparse.Namespace", repeat: int) -> list[str]:
    """Overrides that move every seed on by `repeat`."""
    base = configured(said).plain()
    seeds = [f"seed={base['seed'] + repeat}"]
    is_phantom = base["data"]["name"] == "phantom"
    return [*seeds, f"data.seed={base['data']['seed'] + repeat}"] if is_phantom else seeds


def _with(said: "argparse.Namespace", overrides: Sequence[str]) -> "argparse.Namespace":
    from argparse import Namespace

    return Namespace(**{**vars(said), "overrides": [*said.overrides, *overrides], "algorithm": None})


if __name__ == "__main__":
    sys.exit(main())
