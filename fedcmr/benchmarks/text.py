"""The content of bench.md: tables to read, of what stands in bench.json."""

from collections.abc import Mapping, Sequence

from fedcmr.benchmarks.found import Found, spread
from fedcmr.benchmarks.measuring import BOUND, FEDCMR, Timed, break_even_rounds

MEANINGS: Mapping[str, str] = {
    "bound": "a bare loop over the adapted blocks from prefixes in memory: the least that the arithmetic must cost",
    "fedcmr": "a visit and its scoring as in a run, from prefixes on disk",
    "no_prefix": "the same from volumes: the frozen blocks run again in every pass",
    "usual_way": "a new model, loaders and Trainers for each visit, whole forward pass, whole state dict handed over; "
    "with fedcmr's own adapters",
}


def as_text(found: Found) -> str:
    """The content of bench.md."""
    work, shape = found.workload, found.workload.shape
    bound, ours = found.rows[BOUND], found.rows[FEDCMR].median
    even, overhead = break_even_rounds(found.rows, found.prefix_seconds), spread(found.overhead_ms)
    paid = f"pays after {even:.2f} rounds" if even is not None else "did not pay here"
    lines = [
        f"# What a round costs: size {found.size}",
        "",
        f"Backbone of width {shape.width} and depth {shape.depth}, seeded weights, {' x '.join(map(str, shape.sax))} "
        f"voxels; Med-DualLoRA on the last two blocks. A visit: {work.training} training and {work.validation} "
        f"validation cases, batches of {work.batch}, one epoch, two views scored. A round of one client: its visit and "
        "the scoring after it. Median of "
        f"{len(found.rows[BOUND].seconds)} repeats (smallest to largest), rows measured in turns.",
        "",
        *_table(
            ["row", "seconds a round", "ratio", "processor ratio", "steps", "peak memory, MB", "handed over, kB"],
            [
                [
                    name,
                    _seconds(timed),
                    f"{timed.median / bound.median:.2f}",
                    f"{timed.processor_median / bound.processor_median:.2f}",
                    str(timed.steps),
                    f"{found.peaks[name].round / 1e6:.0f}",
                    f"{timed.bytes_up / 1e3:.1f}",
                ]
                for name, timed in found.rows.items()
            ],
        ),
        "",
        *(f"- `{name}`: {MEANINGS[name]}." for name in found.rows),
        "",
        "Ratios are to the bound: of medians by the clock, and of medians of the process's own processor time, which a "
        "busy machine disturbs less.",
        "Every row makes the same optimizer steps on the same batches, and passes over the validation cases three "
        "times: after training, and in both views after averaging. Peak memory is the largest resident memory of a "
        "fresh process that makes one round, of which "
        f"{max(peak.imports for peak in found.peaks.values()) / 1e6:.0f} MB are there after the imports; prefixes are "
        "on disk by then.",
        "",
        "## Visits of other sizes",
        "",
        *_table(
            ["training cases", *found.rows],
            [
                [str(count), *(_with_ratio(timed, measured[BOUND].median) for timed in measured.values())]
                for count, measured in found.visits.items()
            ],
        ),
        "",
        "Seconds a round, and ratio to bound; a single repeat each.",
        "",
        "## Prefixes and overhead",
        "",
        f"- Prefixes of the {work.training + work.validation} cases: {found.prefix_seconds:.2f} s to make and write, "
        f"which {paid}.",
        f"- A visit costs {overhead['median']:.1f} ms ({overhead['min']:.1f} to {overhead['max']:.1f}) beside its "
        f"arithmetic: the difference of fedcmr and bound on a backbone of width 16, {len(found.overhead_ms)} repeats. "
        f"Of fedcmr's round above that is {overhead['median'] / 10 / ours:.1f} %.",
        "",
        "## Memory by clients",
        "",
        *_table(
            ["clients", "one model, MB", "kept by clients, MB", "resident, MB", "a model each, MB"],
            [
                [
                    str(row.clients),
                    f"{row.model_bytes / 1e6:.1f}",
                    f"{row.kept_bytes / 1e6:.2f}",
                    f"{row.resident_bytes / 1e6:.0f}",
                    f"{row.models_bytes / 1e6:.0f}",
                ]
                for row in found.clients
            ],
        ),
        "",
        "## Machine",
        "",
        *(f"- {word.replace('_', ' ')}: {value}" for word, value in found.machine.items()),
    ]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def _seconds(timed: Timed) -> str:
    return f"{timed.median:.3f} ({min(timed.seconds):.3f} to {max(timed.seconds):.3f})"


def _with_ratio(timed: Timed, least: float) -> str:
    return f"{timed.median:.3f} ({timed.median / least:.2f})"
