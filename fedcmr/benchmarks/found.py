"""All that a benchmark measured, and the content of bench.json."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from fedcmr.benchmarks.arithmetic import constant_share
from fedcmr.benchmarks.measuring import BOUND, FEDCMR, Measured, Overhead, Timed, break_even_rounds
from fedcmr.benchmarks.memory import ManyClients, Peak
from fedcmr.benchmarks.reading import Reading
from fedcmr.benchmarks.starting import Starting
from fedcmr.benchmarks.workload import Workload
from fedcmr.knobs import RunKnobs

ROUNDS = RunKnobs().rounds
FROM_PREFIXES = (BOUND, FEDCMR)


@dataclass(frozen=True)
class Found:
    """All that a benchmark measured.

    Args:
        size: "tiny" or "base".
        workload: the benchmark visit.
        rows: the benchmark visit, by row; Flower's among them where it is installed.
        peaks: name of the row -> memory.
        visits: number of training cases -> rows of other visits.
        tried: what might win more, by row, beside fedcmr in the same turns.
        prefix_seconds: to make the prefixes of the benchmark visit and write them.
        overhead: of a visit and its scoring.
        clients: memory of many clients.
        reading: of images.
        starting: of commands.
        machine: see `machine`.
    """

    size: str
    workload: Workload
    rows: Measured
    peaks: Mapping[str, Peak]
    visits: Mapping[int, Measured]
    tried: Measured
    prefix_seconds: float
    overhead: Overhead
    clients: tuple[ManyClients, ...]
    reading: Reading
    starting: Starting
    machine: Mapping[str, object]

    def seconds_to_first_round(self, row: str) -> float:
        """From a fresh process with nothing on disk to the end of the client's first round, imports left out."""
        return self.peaks[row].seconds + (self.prefix_seconds if row in FROM_PREFIXES else 0.0)

    def seconds_per_run(self, row: str) -> float:
        """Of the client's rounds in a run of the default length, with what comes before the first: computed."""
        return self.seconds_to_first_round(row) + (ROUNDS - 1) * self.rows[row].median


def as_json(found: Found) -> dict[str, object]:
    """The content of bench.json."""
    rows = [
        {
            **_row(name, timed, found.rows[BOUND]),
            "peak_memory_bytes": found.peaks[name].round,
            "peak_memory_of_imports_bytes": found.peaks[name].imports,
            "seconds_to_first_round": found.seconds_to_first_round(name),
            "seconds_per_run": found.seconds_per_run(name),
        }
        for name, timed in found.rows.items()
    ]
    visits = [
        {"training": count, "rows": [_row(name, timed, measured[BOUND]) for name, timed in measured.items()]}
        for count, measured in found.visits.items()
    ]
    return {
        "size": found.size,
        "machine": dict(found.machine),
        "visit": {**asdict(found.workload), "epochs": 1, "views": 2},
        "rows": rows,
        "visits": visits,
        "tried": [_tried(name, timed, found.tried[FEDCMR]) for name, timed in found.tried.items()],
        "constant_share": constant_share(found.workload),
        "prefix_seconds": found.prefix_seconds,
        "break_even_rounds": break_even_rounds(found.rows, found.prefix_seconds),
        "overhead_ms_per_visit": spread(found.overhead.ms)["median"],
        "overhead_ms": spread(found.overhead.ms),
        "overhead_processor_ms": spread(found.overhead.processor_ms),
        "memory_by_clients": [asdict(row) for row in found.clients],
        "reading_processor_seconds": asdict(found.reading),
        "help_seconds": spread(found.starting.help),
        "first_step_seconds": spread(found.starting.first_step),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _tried(name: str, timed: Timed, ours: Timed) -> dict[str, object]:
    return {
        "name": name,
        "seconds_per_round": spread(timed.seconds),
        "ratio_to_fedcmr": timed.median / ours.median,
        "loss": timed.loss,
    }


def _row(name: str, timed: Timed, bound: Timed) -> dict[str, object]:
    return {
        "name": name,
        "seconds_per_round": {**spread(timed.seconds), "repeats": list(timed.seconds)},
        "ratio_to_bound": timed.median / bound.median,
        "processor_seconds_per_round": spread(timed.processor_seconds) if timed.processor_seconds else None,
        "processor_ratio_to_bound": timed.processor_median / bound.processor_median
        if timed.processor_seconds
        else None,
        "bytes_up": timed.bytes_up,
        "steps": timed.steps,
        "loss": timed.loss,
    }
