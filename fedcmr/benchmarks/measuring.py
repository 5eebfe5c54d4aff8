"""Seconds of every row, measured in turns in one process, so that a busy moment meets them all."""

import gc
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

from fedcmr.benchmarks.rows import ROWS, Row
from fedcmr.benchmarks.workload import SMALLEST, Stage, Workload, cases, stage

BOUND, FEDCMR, NO_PREFIX = "bound", "fedcmr", "no_prefix"
OVERHEAD_REPEATS = 20
"""Rounds of a few milliseconds each, for the overhead of a visit: our choice."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Timed:
    """One row of one workload.

    Args:
        seconds: of each repeat, in the order they were measured, by the clock on the wall.
        processor_seconds: the same by this process's own share of the processor, which a busy machine disturbs less;
            empty where other processes do the work.
        steps: optimizer steps of a round, counted as they were made.
        loss: mean training loss of a round.
        bytes_up: what the client hands over.
    """

    seconds: tuple[float, ...]
    processor_seconds: tuple[float, ...]
    steps: int
    loss: float
    bytes_up: int

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def processor_median(self) -> float:
        """NaN where it was not measured."""
        return statistics.median(self.processor_seconds or (math.nan,))


@dataclass(frozen=True)
class Overhead:
    """What a visit and its scoring cost beside their arithmetic, in milliseconds, for each repeat: the Trainer's loops,
    loaders, prefixes read from disk, seeding, hashing, packing, the server's mean and the scores.

    Args:
        ms: by the clock on the wall.
        processor_ms: of this process's processor time.
    """

    ms: tuple[float, ...]
    processor_ms: tuple[float, ...]


Measured = dict[str, Timed]
"""Name of the row -> what was measured of it."""


def measure(workload: Workload, folder: Path, repeats: int, say: Say, rows: Mapping[str, Row] = ROWS) -> Measured:
    """These rows of one workload, `repeats` times each; the row that goes first changes from repeat to repeat.

    Args:
        folder: of prefixes; those that are missing are made first, untimed.
    """
    ready = stage(workload, folder)
    fill(ready)
    names = list(rows)
    found: dict[str, list[Timed]] = {name: [] for name in names}
    with settled():
        for repeat in range(repeats):
            first = repeat % len(names)
            for name in (*names[first:], *names[:first]):
                found[name].append(once(rows[name], ready))
                say(f"  {name}: {found[name][-1].seconds[0]:.3f} s ({repeat + 1} of {repeats})")
    return {name: _together(members) for name, members in found.items()}


def once(row: Row, ready: Stage) -> Timed:
    """One round of one row."""
    turn = row(ready)
    gc.collect()  # else the next row would pay for the model that the last one left
    with steps_counted() as steps:
        began, began_processor = time.perf_counter(), time.process_time()
        walked = turn()
        seconds, processor_seconds = time.perf_counter() - began, time.process_time() - began_processor
    return Timed((seconds,), (processor_seconds,), len(steps), walked.loss, walked.bytes_up)


def fill(ready: Stage) -> float:
    """Makes the prefixes that are missing; returns the seconds that this took, reading them once included."""
    split = cases(ready.workload)
    began = time.perf_counter()
    for case in (*split.train, *split.val):
        ready.prefixes(case, 0)
    return time.perf_counter() - began


def overhead_of_a_visit(repeats: int = OVERHEAD_REPEATS) -> Overhead:
    """fedcmr − bound of each repeat, on a backbone so small that what remains is not arithmetic."""
    with tempfile.TemporaryDirectory(prefix="fedcmr-bench-") as folder:
        ready = stage(Workload(SMALLEST), Path(folder))
        fill(ready)
        with settled():
            pairs = [(once(ROWS[FEDCMR], ready), once(ROWS[BOUND], ready)) for _ in range(repeats + 1)][1:]
    return Overhead(
        tuple(1000 * (ours.median - least.median) for ours, least in pairs),
        tuple(1000 * (ours.processor_median - least.processor_median) for ours, least in pairs),
    )


def break_even_rounds(measured: Measured, prefix_seconds: float) -> float | None:
    """Rounds after which the prefixes have saved what making them cost; None where they save nothing."""
    saved = measured[NO_PREFIX].median - measured[FEDCMR].median
    return prefix_seconds / saved if saved > 0 else None


@contextmanager
def steps_counted() -> Iterator[list[None]]:
    """Inside, the list grows by one with every step of any optimizer."""
    steps: list[None] = []
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(None))
    try:
        yield steps
    finally:
        hook.remove()


@contextmanager
def settled() -> Iterator[None]:
    """Inside, what is there already is not searched for garbage, which would take longer than a small round."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _together(members: Sequence[Timed]) -> Timed:
    seconds = tuple(second for member in members for second in member.seconds)
    processor_seconds = tuple(second for member in members for second in member.processor_seconds)
    assert len({member.steps for member in members}) == 1, members
    return replace(members[0], seconds=seconds, processor_seconds=processor_seconds)
