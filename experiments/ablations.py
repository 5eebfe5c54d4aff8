"""What matters in Med-DualLoRA: which blocks, which rank, whose head, which weights; one thing changed at a time.

    python experiments/ablations.py [--only a,b] [--seeds N] [--out DIR] [key=value ...]

Each row is the table's default run (configs/experiments/table.yaml) with the knobs that `ABLATIONS` names, in the same
federations; differences are to `last two blocks`, the default, federation by federation. Writes what a table writes.
Blocks before the last two make the frozen part shorter: with all of them, or the first, little of it is left, and a run
takes about four times as long.
"""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from fedcmr import catalogue
from fedcmr.arguments import configure, guarded
from fedcmr.knobs import TableKnobs
from fedcmr.models.tiny import SHAPE
from fedcmr.reports.comparing import comparison_table
from fedcmr.reports.figures import draw_all
from fedcmr.reports.writing import markdown, write_table
from fedcmr.table import repeats_of
from fedcmr.tabling import Job, in_federation, prepare, processes_of, run_all

DEFAULT = "last two blocks"


def random_blocks(count: int, draw: int) -> str:
    """Two of the embedded backbone's blocks, for example "1,4"; a function of (count, draw)."""
    return ",".join(map(str, sorted(random.Random(draw).sample(range(SHAPE.depth), count))))


ABLATIONS: Mapping[str, Sequence[str]] = {
    DEFAULT: (),
    "last block": ("adapter.blocks=last-1",),
    "last four blocks": ("adapter.blocks=last-4",),
    "all blocks": ("adapter.blocks=all",),
    "first two blocks": ("adapter.blocks=first-2",),
    **{f"two random blocks {draw}": (f"adapter.blocks='{random_blocks(2, draw)}'",) for draw in range(3)},
    **{
        f"ranks {rank} and {rank}": tuple(
            f"algorithm.{knob}_{branch}={rank}" for knob in ("rank", "alpha") for branch in ("global", "local")
        )
        for rank in (1, 2, 4, 16, 32)
    },
    "private head": ("head.owner=private",),
    "head of each kind": ("head.owner=both",),
    "clients weigh equally": ("server.weights=equal",),
    "all five layers": ("adapter.layers=[attn.q,attn.kv,attn.proj,mlp.fc1,mlp.fc2]",),
}
"""Name -> what is changed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 after a message on stderr."""
    parser = argparse.ArgumentParser(description="Change one thing of Med-DualLoRA at a time.")
    parser.add_argument("--only", metavar="a,b", help=f"beside the default, of: {', '.join(ABLATIONS)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="federations (default: the table's)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"), metavar="DIR")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="knobs of every run")
    said = parser.parse_intermixed_args(arguments)

    def command() -> int:
        print(ablate(chosen(said.only), said.seeds, said.overrides, said.out))
        return 0

    return guarded(command, debug=False)


def chosen(only: str | None) -> list[str]:
    """The default, and the rows that are named, or all. Raises: ValueError for an unknown one."""
    if only is None:
        return list(ABLATIONS)
    named = [word.strip() for word in only.split(",") if word.strip()]
    for name in named:
        if name not in ABLATIONS:
            raise ValueError(catalogue.unknown("row of --only", name, list(ABLATIONS)))
    return [DEFAULT, *(name for name in named if name != DEFAULT)]


def ablate(names: Sequence[str], seeds: int | None, overrides: Sequence[str], folder: Path) -> str:
    """Runs what is missing, writes the table and its pictures; returns the table as Markdown."""
    console = Console(soft_wrap=True, highlight=False)
    wished = [*overrides, *([] if seeds is None else [f"table.seeds={seeds}"])]
    base = configure(wished, "table")
    jobs = []
    for repeat in range(base.of("table", TableKnobs).seeds):
        for name in names:
            config = configure([*wished, *ABLATIONS[name], *in_federation(base, repeat)], "table")
            jobs.append(Job(name, repeat, config, folder / "runs" / f"{name.replace(' ', '-')}-{repeat}"))
    processes = processes_of(base)
    prepare(jobs, processes, console)
    summaries = run_all(jobs, processes, folder.name, lambda line: console.print(line, markup=False))
    repeats = [repeats_of(name, [job for job in jobs if job.algorithm == name], summaries) for name in names]
    table = comparison_table(repeats)
    write_table(folder, table)
    draw_all(folder, table, {repeat.algorithm: repeat for repeat in repeats})
    return markdown(table)


if __name__ == "__main__":
    sys.exit(main())
