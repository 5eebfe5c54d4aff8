"""Seconds from a command to what its user waits for, each in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPEATS = 3

UNTIL_A_STEP = """
import os, sys
from torch.optim.optimizer import register_optimizer_step_post_hook
from fedcmr.run import main
register_optimizer_step_post_hook(lambda *_: os._exit(0))
sys.exit(main(sys.argv[1:]) or "no step was made")
"""
"""A run that ends at its first optimizer step, with nothing cleaned up."""


@dataclass(frozen=True)
class Starting:
    """Seconds by the clock, for each repeat.

    Args:
        help: of `python -m fedcmr.run --help`.
        first_step: from the command to the first optimizer step of a run whose cohort and prefixes are there.
    """

    help: tuple[float, ...]
    first_step: tuple[float, ...]


def starting(folder: Path, arguments: Sequence[str] = (), repeats: int = REPEATS) -> Starting:
    """Runs the default federation for a round, so that its cohort and prefixes are there, then times starts of it.

    Args:
        folder: for the runs' own folders.
        arguments: of `fedcmr.run` besides.
    Raises: subprocess.CalledProcessError where a command fails.
    """
    wishes = [*arguments, "--rounds", "1"]
    module, code = [sys.executable, "-m", "fedcmr.run"], [sys.executable, "-c", UNTIL_A_STEP]
    spent([*module, *wishes, "--out", str(folder / "warm")])
    steps = [spent([*code, *wishes, "--out", str(folder / f"start-{index}")]) for index in range(repeats)]
    return Starting(tuple(spent([*module, "--help"]) for _ in range(repeats)), tuple(steps))


def spent(command: Sequence[str]) -> float:
    """Seconds that a command takes. Raises: subprocess.CalledProcessError where it fails; it then has printed why."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
