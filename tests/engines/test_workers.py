"""Processes that run visits: what goes wrong in one is its client's failure, and the next job finds a process again."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from made_runs import command

from fedcmr.arguments import configured, parser
from fedcmr.engines import workers as module
from fedcmr.engines.workers import Job, Workers
from fedcmr.federation.client import Handover
from fedcmr.federation.failing import Failed
from fedcmr.messages import Server
from fedcmr.parts import Recipe, parts_of

pytestmark = pytest.mark.slow


def recipe(tmp_path: Path, *more: str) -> Recipe:
    return Recipe(configured(parser("run", "A run.").parse_intermixed_args(command(tmp_path, *more))))


def job(made: Recipe) -> Job:
    federation = parts_of(made).federation()
    client = min(federation.clients)
    return Job(client, Server(0, federation.strategy.first_sent(federation.start)), {}, (client,))


def test_a_worker_that_was_killed_is_its_clients_failure_and_is_replaced(tmp_path: Path) -> None:
    made = recipe(tmp_path)
    visit, workers = job(made), Workers(made, 2)
    for worker in workers.workers:
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.join()
    failed = list(workers.run([visit, visit]))
    assert [(type(one), one.client) for one in failed] == [(Failed, visit.client)] * 2  # type: ignore[union-attr]
    assert all("exit code -9" in one.cause for one in failed if isinstance(one, Failed))
    (answer,) = workers.run([visit])
    assert isinstance(answer, Handover)
    processes = [worker.process for worker in workers.workers]
    workers.close()
    assert not any(process.is_alive() for process in processes)


def test_a_visit_that_hangs_is_ended_and_its_worker_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    long, made = recipe(tmp_path, "visit.epochs=100000"), recipe(tmp_path)
    visit, workers = job(made), Workers(long, 1, timeout=0.5)
    (worker,) = workers.workers

    def stop() -> None:
        while not worker.begun:
            time.sleep(0.01)
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGSTOP)

    first = worker.process
    threading.Thread(target=stop).start()
    assert list(workers.run([visit])) == [Failed(visit.client, "took longer than visit_timeout=0.5 s")]
    assert not first.is_alive()
    assert worker.process.is_alive()
    workers.close()


def test_a_visit_ends_itself_between_two_batches(tmp_path: Path) -> None:
    long = recipe(tmp_path, "visit.epochs=100000", "visit_timeout=0.5")
    workers = Workers(long, 1, timeout=0.5)
    (worker,) = workers.workers
    first = worker.process
    (failed,) = workers.run([job(long)])
    assert isinstance(failed, Failed)
    assert failed.cause == "took longer than visit_timeout=0.5 s"
    assert worker.process is first
    workers.close()


def test_what_is_wrong_with_the_parts_comes_back_as_the_workers_answer(tmp_path: Path) -> None:
    visit, workers = job(recipe(tmp_path)), Workers(recipe(tmp_path, "data.root=/nowhere"), 1)
    try:
        (failed,) = workers.run([visit])
        assert isinstance(failed, Failed)
        assert "to the folder that holds it" in failed.cause
        assert "Traceback" in failed.trace
    finally:
        workers.close()


def test_an_interrupt_is_left_to_the_process_that_started_them(tmp_path: Path) -> None:
    visit, workers = job(recipe(tmp_path)), Workers(recipe(tmp_path, "data.root=/nowhere"), 1)
    list(workers.run([visit]))
    process = workers.workers[0].process
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(timeout=0.5)
    assert process.is_alive()
    workers.close()
    assert process.exitcode == 0
