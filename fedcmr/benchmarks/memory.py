"""Memory of a row, its first round, and many clients: each in a process of its own, which has done nothing else."""

import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

from fedcmr.benchmarks.rows import ROWS
from fedcmr.benchmarks.workload import CLIENT, Workload, initial, stage
from fedcmr.federation.client import visit
from fedcmr.models.threads import one_thread
from fedcmr.tensors import Tensors, count_bytes

STATUS = Path("/proc/self/status")
CLIENTS = (4, 16, 64, 256)

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Peak:
    """Largest resident memory of a process, in bytes, and how long it takes to its first round.

    Args:
        imports: after importing what the row needs, before any model.
        round: after one round, model and cases included.
        seconds: from there to the end of that round, with the making of model and cases; prefixes are there already.
    """

    imports: int
    round: int
    seconds: float


@dataclass(frozen=True)
class ManyClients:
    """One process with this many clients.

    Args:
        clients: K.
        model_bytes: of the one model that serves them all.
        kept_bytes: of the K clients' private tensors, which differ.
        resident_bytes: of the process, after a visit.
        models_bytes: what K models would take.
    """

    clients: int
    model_bytes: int
    kept_bytes: int
    resident_bytes: int
    models_bytes: int


def apart(function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
    """What the function returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_of(row: str, workload: Workload, folder: Path) -> Peak:
    """Runs one round of one row in this process, which should be fresh.

    Args:
        folder: of prefixes that are there already, so that making them does not count.
    """
    imports, began = peak_bytes(), time.perf_counter()
    ROWS[row](stage(workload, folder))()
    return Peak(imports, peak_bytes(), time.perf_counter() - began)


def by_clients(workload: Workload, folder: Path, counts: Sequence[int] = CLIENTS) -> tuple[ManyClients, ...]:
    """One visit, and then that many clients' private tensors beside one model, in this process.

    Args:
        counts: numbers of clients, ascending.
    """
    ready = stage(workload, folder)
    federation = ready.federation(ready.prefixes)
    handover = visit(federation, CLIENT, initial(federation), {}, (CLIENT,))
    model_bytes = count_bytes(ready.model.state_dict())
    kept: list[Tensors] = []
    found = []
    with one_thread():
        for count in counts:
            # each client its own numbers, as after a visit of its own
            kept += [{name: tensor.clone() for name, tensor in handover.kept.items()} for _ in range(len(kept), count)]
            mine = sum(count_bytes(tensors) for tensors in kept)
            found.append(ManyClients(count, model_bytes, mine, resident_bytes(), count * model_bytes))
    return tuple(found)


def peak_bytes() -> int:
    """Largest resident memory of this process so far.

    On Linux that of the program alone: getrusage would count the process that started it too.
    """
    if STATUS.exists():
        return _status("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def resident_bytes() -> int:
    """Resident memory of this process now; where the system does not tell, its largest so far."""
    return _status("VmRSS") if STATUS.exists() else peak_bytes()


def _status(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])
