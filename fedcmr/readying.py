"""All that a run will read, brought into the cache before the first step: volumes, then frozen prefixes."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from rich.console import Console

from fedcmr.data.cases import Case
from fedcmr.parts import Parts

Side = tuple[Parts, Sequence[tuple[Case, int]]]
"""(parts, which (case, view) will be asked of them)."""


def ready(sides: Sequence[Side], console: Console, workers: int) -> None:
    """Makes what is missing, with a line on what it takes on disk before it is written, and one on the time.

    Threads share the work; each has one torch thread, so that the bits do not depend on their number.
    Raises: ValueError where images cannot be read, or prefixes take more than `prefix.limit_gb`.
    """
    began, patients = time.perf_counter(), {case.id for _, wanted in sides for case, _ in wanted}
    with console.status("Reading patients") as status:

        def said(done: int, of: int) -> None:
            status.update(f"Reading patients: {done} of {of}")

        for parts, wanted in sides:
            parts.volumes.prepare(list({case.id: case for case, _ in wanted}.values()), workers, said)
        asked = [
            (inputs, one) for inputs, wanted in [(side.inputs(), wanted) for side, wanted in sides] for one in wanted
        ]
        first = asked[0][0]
        if first.are_kept:
            # one call for all sides: none may make room at the cost of another
            if line := first.make_room([place for inputs, one in asked for place in inputs.places([one])]):
                console.print(line, highlight=False, soft_wrap=True)
            with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                for done, _ in enumerate(pool.map(lambda job: job[0](*job[1]), asked), start=1):
                    status.update(f"Frozen blocks: {done} of {len(asked)} volumes")
    console.print(f"{len(patients)} patients ready after {time.perf_counter() - began:.1f} s.")
