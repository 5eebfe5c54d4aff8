"""What a federated round costs: fedcmr beside the least that its arithmetic must cost, and beside the usual way.

    python -m fedcmr.bench --size tiny --repeats 5 --out runs/bench

Writes bench.json and bench.md. The cases are made, the weights are seeded: speed does not depend on their values.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedcmr.arguments import guarded

TAKES: Mapping[str, str] = {"tiny": "about five minutes", "base": "about an hour and a quarter, and 5 GB of memory"}
"""Size of the backbone -> what to expect of three repeats on one core."""


def bench(size: str, repeats: int, out: Path) -> None:
    """Measures, writes bench.json and bench.md into `out`, and prints the latter.

    Raises: ValueError for an unknown size or no repeats.
    """
    from fedcmr.benchmarks.benchmark import benchmark, write
    from fedcmr.benchmarks.text import as_text
    from fedcmr.benchmarks.workload import SHAPES, Workload

    if size not in SHAPES or repeats < 1:
        raise ValueError(f"--size {size} --repeats {repeats}: expected one of {', '.join(SHAPES)}, and at least 1.")
    print(f"Size {size}, {repeats} repeats: three take {TAKES[size]} on one core.", flush=True)
    found = benchmark(size, Workload(SHAPES[size]), repeats, lambda line: print(line, file=sys.stderr, flush=True))
    write(found, out)
    print(as_text(found))
    print(f"Written to {out / 'bench.json'} and {out / 'bench.md'}.")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = argparse.ArgumentParser(
        prog="python -m fedcmr.bench",
        description="Measure what a round costs, beside its bound and beside the usual way.",
    )
    made.add_argument("--size", default="tiny", choices=sorted(TAKES), help="of the backbone (default: tiny)")
    made.add_argument("--repeats", type=int, default=5, help="of every row (default: 5)")
    made.add_argument("--out", type=Path, help="folder of bench.json and bench.md (default: runs/bench-<size>)")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    said = made.parse_args(arguments)

    def command() -> int:
        bench(said.size, said.repeats, said.out or Path("runs") / f"bench-{said.size}")
        return 0

    return guarded(command, said.debug)


if __name__ == "__main__":
    sys.exit(main())
