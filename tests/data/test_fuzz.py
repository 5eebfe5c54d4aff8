"""Bad files in bulk: each is read, or refused in one message; none ends in a traceback, a hang or memory growth."""

import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from fuzzing import Bench, HangError, Trial, bounded, every_mutator, heavy, pages

SEEDS = 12
"""Bad files of each kind in each layout: 2700 in all, two minutes."""

GROWTH_BYTES = 2**26
"""What thousands of bad files may leave behind in memory: 20 kB each, less than one of them unpacked."""


def faults_of(bench: Bench, trials: Iterable[Trial]) -> tuple[list[str], Counter[str]]:
    """What went wrong, and how many were read and refused."""
    faults, told = [], Counter[str]()
    for trial in trials:
        try:
            told["refused" if bench.tried(trial) else "read"] += 1
        except (Exception, HangError) as error:
            faults.append(f"{trial}: {type(error).__name__}: {error}"[:500])
    return faults, told


def test_every_kind_of_bad_file_is_read_or_refused_in_one_message(tmp_path: Path) -> None:
    layouts: dict[tuple[str, str], list[Trial]] = {}
    for trial in every_mutator(seeds=1):
        layouts.setdefault((trial.kind, trial.mutator.__name__), []).append(trial)
    # each mutator once, in one of the layouts that it is for
    chosen = [trials[place % len(trials)] for place, trials in enumerate(layouts.values())]
    faults, told = faults_of(Bench(tmp_path), chosen)
    assert not faults
    assert min(told["read"], told["refused"]) > 5


@pytest.mark.slow
def test_thousands_of_bad_files_leave_no_traceback_and_no_memory_behind(tmp_path: Path) -> None:
    bench, trials = Bench(tmp_path), every_mutator(seeds=SEEDS)
    faults, told = faults_of(bench, trials[::SEEDS])
    before = pages("resident")
    more, told_more = faults_of(bench, (trial for place, trial in enumerate(trials) if place % SEEDS))
    assert not faults + more
    assert pages("resident") - before < GROWTH_BYTES
    assert min((told + told_more).values()) > len(trials) / 20


@pytest.mark.slow
def test_bombs_and_endless_tables_are_refused_without_being_held(tmp_path: Path) -> None:
    faults, told = faults_of(Bench(tmp_path), heavy())
    assert not faults
    assert told["refused"] > len(heavy()) / 2


def test_the_fuzzer_sees_a_hang_and_a_flood() -> None:
    with pytest.raises(HangError), bounded(seconds=1):
        time.sleep(5)
    with pytest.raises(MemoryError), bounded(room_bytes=2**24):
        bytes(2**28)
