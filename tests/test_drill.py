"""A run that is killed at any moment, again and again, ends as one that was never disturbed."""

import os
import random
import sys
import time
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from made_runs import command
from test_same import assert_same

KILLS = 100
ROUNDS = 4


def go(folder: Path, typed: list[str]) -> None:
    """A run, or what is left of it, in this process."""
    from fedcmr.run import main

    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        sys.exit(main(["--resume", str(folder)] if (folder / "config.yaml").exists() else typed))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes are started and killed as Unix does it")
def test_a_run_that_is_killed_a_hundred_times_is_the_run_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    context = get_context("forkserver")
    context.set_forkserver_preload(["fedcmr.running", "torchmetrics.functional.classification"])
    chance = random.Random(0)

    def start(folder: Path) -> ForkServerProcess:
        process = context.Process(target=go, args=(folder, command(folder, f"--rounds={ROUNDS}")))
        process.start()
        return process

    whole = tmp_path / "whole"
    for _ in range(2):  # the first go also makes prefixes, and the processes' parent
        whole = tmp_path / f"whole-{time.monotonic_ns()}"
        began = time.monotonic()
        process = start(whole)
        process.join()
        seconds = time.monotonic() - began
        assert process.exitcode == 0
    kills, finished, folder = 0, 0, tmp_path / "run-0"
    while kills < KILLS:
        process = start(folder)
        process.join(timeout=chance.uniform(0, 1.1 * seconds))
        if process.is_alive():
            process.kill()
            process.join()
            kills += 1
            continue
        assert process.exitcode == 0
        assert_same(folder, whole)
        finished += 1
        folder = tmp_path / f"run-{finished}"
    process = start(folder)
    process.join()
    assert process.exitcode == 0
    assert_same(folder, whole)
    assert finished > 0, "some were killed now and then, and still came to their end"
