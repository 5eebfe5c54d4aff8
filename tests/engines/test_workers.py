"""Processes that run visits: a fault comes back as a message, and a process that is gone is never waited for."""

import os
import signal
import time
from pathlib import Path

import pytest
from made_runs import command

from fedcmr.arguments import configured, guarded, parser
from fedcmr.engines.workers import Job, WorkerLostError, Workers
from fedcmr.messages import Server
from fedcmr.parts import Recipe

pytestmark = pytest.mark.slow

JOB = Job("vendorA", Server(0, {}), {}, ("vendorA",))


def recipe(tmp_path: Path, *more: str) -> Recipe:
    return Recipe(configured(parser("run", "A run.").parse_intermixed_args(command(tmp_path, *more))))


def test_a_worker_that_was_killed_is_named_and_not_waited_for(tmp_path: Path) -> None:
    workers = Workers(recipe(tmp_path), 2)
    began = time.monotonic()
    for process in workers.processes:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(WorkerLostError, match="exit code -9"):
        list(workers.run([JOB, JOB]))
    workers.close()
    assert time.monotonic() - began < 20
    assert not any(process.is_alive() for process in workers.processes)


def test_a_lost_worker_ends_the_command_with_the_code_of_too_few_clients() -> None:
    def command() -> int:
        raise WorkerLostError("gone")

    assert guarded(command, debug=False) == 3


def test_what_is_wrong_with_the_parts_comes_back_as_the_workers_answer(tmp_path: Path) -> None:
    workers = Workers(recipe(tmp_path, "data.root=/nowhere"), 1)
    try:
        with pytest.raises(ValueError, match="to the folder that holds it"):
            list(workers.run([JOB]))
    finally:
        workers.close()


def test_an_interrupt_is_left_to_the_process_that_started_them(tmp_path: Path) -> None:
    workers = Workers(recipe(tmp_path, "data.root=/nowhere"), 1)
    with pytest.raises(ValueError, match="to the folder that holds it"):
        list(workers.run([JOB]))
    (process,) = workers.processes
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=0.5)
    assert process.is_alive()
    workers.close()
    assert process.exitcode == 0
