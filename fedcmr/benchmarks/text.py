"""The content of bench.md: tables to read, of what stands in bench.json."""

import statistics
from collections.abc import Mapping, Sequence

from fedcmr.benchmarks.arithmetic import constant_share
from fedcmr.benchmarks.flower import FLOWER
from fedcmr.benchmarks.found import ROUNDS, Found, spread
from fedcmr.benchmarks.measuring import BOUND, FEDCMR, break_even_rounds
from fedcmr.benchmarks.reading import CINE
from fedcmr.benchmarks.rows import ROWS
from fedcmr.benchmarks.usual import HAS_PEFT
from fedcmr.benchmarks.workload import SMALLEST

MEANINGS: Mapping[str, str] = {
    "bound": "a bare loop over the adapted blocks from prefixes in memory: the least that the arithmetic must cost",
    "fedcmr": "a visit and its scoring as in a run, from prefixes on disk",
    "no_prefix": "the same from volumes: the frozen blocks run again in every pass",
    "usual_way": "a new model, loaders and Trainers for each visit, whole forward pass, whole state dict handed over; "
    f"with the adapters of {'peft' if HAS_PEFT else 'fedcmr itself, for peft is not installed'}",
    FLOWER: "the same, by a client of Flower's simulation engine in a process of Ray's; its rounds follow one another, "
    "not in turns with the other rows, and its memory is that process's",
}


def as_text(found: Found) -> str:
    """The content of bench.md."""
    sections = {
        f"# What a round costs: size {found.size}": _rows(found),
        "## Visits of other sizes": _other_visits(found),
        "## A whole run": _runs(found),
        "## Prefixes and overhead": _prefixes_and_overhead(found),
        "## What might win more": _tried(found),
        "## Memory by clients": _clients(found),
        "## Reading": _reading(found),
        "## Start": _starting(found),
        "## Machine": [f"- {word.replace('_', ' ')}: {value}" for word, value in found.machine.items()],
    }
    return "\n\n".join("\n".join([title, "", *lines]) for title, lines in sections.items()) + "\n"


def _rows(found: Found) -> list[str]:
    work, shape, bound = found.workload, found.workload.shape, found.rows[BOUND]
    imports = max(peak.imports for peak in found.peaks.values())
    head = ["row", "seconds a round", "ratio", "processor ratio", "steps", "peak memory, MB", "handed over, kB"]
    cells = [
        [
            name,
            f"{timed.median:.3f} ({min(timed.seconds):.3f} to {max(timed.seconds):.3f})",
            f"{timed.median / bound.median:.2f}",
            f"{timed.processor_median / bound.processor_median:.2f}" if timed.processor_seconds else "–",
            str(timed.steps),
            f"{found.peaks[name].round / 1e6:.0f}",
            f"{timed.bytes_up / 1e3:.1f}",
        ]
        for name, timed in found.rows.items()
    ]
    return [
        f"Backbone of width {shape.width} and depth {shape.depth}, seeded weights, {' x '.join(map(str, shape.sax))} "
        f"voxels; Med-DualLoRA on the last two blocks. A visit: {work.training} training and {work.validation} "
        f"validation cases, batches of {work.batch}, one epoch, two views scored. A round of one client: its visit and "
        f"the scoring after it. Median of {len(bound.seconds)} repeats (smallest to largest), rows measured in turns.",
        "",
        *_table(head, cells),
        "",
        *(f"- `{name}`: {MEANINGS[name]}." for name in found.rows),
        "",
        "Ratios are to the bound: of medians by the clock, and of medians of the process's own processor time, which a "
        "busy machine disturbs less. Every row makes the same optimizer steps on the same batches, and passes over the "
        "validation cases three times: after training, and in both views after averaging. Peak memory is the largest "
        f"resident memory of a fresh process that makes one round, of which {imports / 1e6:.0f} MB are there after the "
        "imports; prefixes are on disk by then.",
    ]


def _other_visits(found: Found) -> list[str]:
    cells = [
        [
            str(count),
            *(f"{timed.median:.3f} ({timed.median / measured[BOUND].median:.2f})" for timed in measured.values()),
        ]
        for count, measured in found.visits.items()
    ]
    note = "Seconds a round, and ratio to the bound; a single repeat each."
    return [*_table(["training cases", *ROWS], cells), "", note]


def _runs(found: Found) -> list[str]:
    head = ["row", "to the end of the first round, s", f"run of {ROUNDS} rounds, s"]
    cells = [
        [row, f"{found.seconds_to_first_round(row):.2f}", f"{found.seconds_per_run(row):.1f}"] for row in found.rows
    ]
    note = (
        "First round: from a fresh process after its imports, with the making of model, volumes and prefixes, or with "
        "the start of Ray. The run "
        "is computed: the first round, and the others at their median."
    )
    return [*_table(head, cells), "", note]


def _tried(found: Found) -> list[str]:
    ours, half = found.tried[FEDCMR], found.tried["bf16"]
    return [
        f"- bfloat16 (prefixes kept in it, forward passes under autocast): {half.median:.3f} s a round where fedcmr "
        f"took {ours.median:.3f} s in the same turns, {half.median / ours.median:.2f} x; mean loss {half.loss:.4f} and "
        f"{ours.loss:.4f}.",
        "- Queries, keys and values of the first adapted block, without its branches, are constant: "
        f"{constant_share(found.workload):.1%} of a round's multiplications, by count. Kept, they would make a prefix "
        "2.5 times as large, and are not.",
        "- Scoring with merged branches, and no gradient for the first adapted block's input, are in fedcmr's row.",
    ]


def _prefixes_and_overhead(found: Found) -> list[str]:
    even = break_even_rounds(found.rows, found.prefix_seconds)
    paid = f"have paid after {even:.2f} rounds" if even is not None else "did not pay here"
    clock, processor = spread(found.overhead.ms), spread(found.overhead.processor_ms)["median"]
    share = processor / 1000 / found.rows[FEDCMR].processor_median
    return [
        f"- The prefixes of the {found.workload.training + found.workload.validation} cases took "
        f"{found.prefix_seconds:.2f} s to make and write, and {paid}.",
        f"- A visit with its scoring costs {clock['median']:.1f} ms ({clock['min']:.1f} to {clock['max']:.1f}) beside "
        f"its arithmetic, {processor:.1f} ms of them processor time: fedcmr less bound on a backbone of width "
        f"{SMALLEST.width}, {len(found.overhead.ms)} repeats. That is {share:.1%} of the processor time of fedcmr's "
        "round above.",
    ]


def _starting(found: Found) -> list[str]:
    shown, step = (statistics.median(seconds) for seconds in (found.starting.help, found.starting.first_step))
    return [
        f"- `python -m fedcmr.run --help` takes {shown:.2f} s.",
        f"- From `python -m fedcmr.run` to its first optimizer step, cohort and prefixes being there, {step:.1f} s. "
        f"Medians of {len(found.starting.help)} repeats, by the clock.",
    ]


def _reading(found: Found) -> list[str]:
    read = found.reading
    cold, warm, monai = (seconds / read.patients for seconds in (read.cold, read.warm, read.monai))
    return [
        f"- A patient whose cine has {' x '.join(map(str, CINE))} voxels is prepared in {cold:.3f} s with an empty "
        f"cache (ED and ES read, resampled, the heart found, the window kept) and in {warm:.4f} s with a full one.",
        f"- MONAI's LoadImage, EnsureChannelFirst and Spacing take {monai:.3f} s for the same file: "
        f"{monai / cold:.1f} x as long. Processor time on one thread, {read.patients} patients.",
    ]


def _clients(found: Found) -> list[str]:
    head = ["clients", "one model, MB", "kept by clients, MB", "resident, MB", "a model each, MB"]
    cells = [
        [
            str(row.clients),
            f"{row.model_bytes / 1e6:.1f}",
            f"{row.kept_bytes / 1e6:.2f}",
            f"{row.resident_bytes / 1e6:.0f}",
            f"{row.models_bytes / 1e6:.0f}",
        ]
        for row in found.clients
    ]
    note = (
        "Resident: one process after one visit, with the private tensors of that many clients. They fit into what the "
        "visit gave back, so far as this does not grow."
    )
    return [*_table(head, cells), "", note, "", "![memory against clients](memory.png)"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
