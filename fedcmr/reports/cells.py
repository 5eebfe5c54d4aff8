"""table.json in words: headings, the cells of a row, and what one has to know to read them."""

from collections.abc import Mapping, Sequence

from fedcmr.reports.comparing import FEDERATIONS, PATIENTS
from fedcmr.reports.reading import at, number

Row = Mapping[str, object]

HEADINGS = (
    "algorithm",
    "fidelity",
    "bal. acc. (personal)",
    "bal. acc. (global)",
    "specificity",
    "sensitivity",
    "AUROC",
    "worst client",
    "difference [95 %]",
    "p (Holm)",
    "kB up",
    "s",
)

MORE_HEADINGS = (
    "algorithm",
    "spread of clients",
    "Brier",
    "log loss",
    "calibration intercept",
    "slope",
    "aggregation error",
    "cosine of updates",
)

MORE_CAPTION = (
    "Personal view. Spread: largest less smallest balanced accuracy of a client. Brier, log loss and calibration over "
    "all test patients; ideal are an intercept of 0 and a slope of 1.",
    "Aggregation error: what averaging the factors apart would lose of the mean product, relative to it, mean over "
    "rounds; cosine: mean over pairs of clients and rounds, of how alike their updates point.",
)

OVER_PATIENTS = (
    "Differences and their intervals run over test patients, not over seeds: each is judged by the mean over seeds of "
    "logit p - logit threshold, so a difference need not be that of the means shown. The models are taken as they are."
)

P_OF_SPECIFICITY = (
    "p (Holm): of specificity, all NOR patients as one, exact McNemar; sensitivity and AUROC stand in table.json."
)

CONTROL_METRICS = ("balanced_accuracy", "auroc", "accuracy")


def rows_of(table: Mapping[str, object]) -> list[Row]:
    rows = table["rows"]
    assert isinstance(rows, Sequence)
    return [row for row in rows if isinstance(row, Mapping)]


def caption(table: Mapping[str, object]) -> list[str]:
    """What one has to know to read the table."""
    rows = rows_of(table)
    seeds = rows[0]["seeds"]
    assert isinstance(seeds, Sequence)
    shown = number(table, "detectable_difference")
    lines = [
        f"{table['data']}, {table['rounds']} rounds, seeds {', '.join(map(str, seeds))}. "
        "Mean ± standard deviation over seeds of the mean over clients, last round; specificity, sensitivity and AUROC "
        "in the personal view.",
        f"Differences are to {table['reference']}, in balanced accuracy (personal), paired by "
        f"{'patient' if _is_over_patients(table) else 'seed'}. kB up: per client and round. s: wall time of a run.",
        *_runs_over(table, len(seeds)),
    ]
    if shown is not None:
        lines.append(f"The smallest difference that {len(seeds)} federations find with 80 % power is {shown:.3f}.")
    said = table.get("provenance")
    return [*lines, *(said if isinstance(said, Sequence) else ())]


def cells(row: Row) -> list[str]:
    """One row as text, in the order of HEADINGS."""
    versus = _entries(row)
    metrics = [("personal", "balanced_accuracy"), ("global", "balanced_accuracy")]
    metrics += [("personal", name) for name in ("specificity", "sensitivity", "auroc")]
    up = number(row, "bytes_up_per_client_and_round")
    seconds = number(row, "seconds")
    return [
        str(row["algorithm"]),
        str(row["fidelity"]),
        *(_spread(at(row, "metrics", "mean", view, name)) for view, name in metrics),
        _spread(at(row, "worst_client", "personal", "balanced_accuracy")),
        _difference(versus[0] if versus else {}),
        _p(versus),
        "-" if up is None else f"{up / 1000:.1f}",
        "-" if seconds is None else f"{seconds:.0f}",
    ]


def more_cells(row: Row) -> list[str]:
    """One row of what is not said elsewhere, in the order of MORE_HEADINGS."""
    found = [at(row, "spread_of_clients", "personal", "balanced_accuracy")]
    found += [at(row, "metrics", "overall", "personal", name) for name in ("brier", "log_loss")]
    found += [at(row, "calibration", "personal", name) for name in ("intercept", "slope")]
    found += [at(row, "aggregation", name) for name in ("error", "cosine")]
    return [str(row["algorithm"]), *map(_spread, found)]


def note_on_p(table: Mapping[str, object]) -> str:
    """Of which metric the printed p is, where that is not the printed difference's; else ""."""
    has_p = any(_p(_entries(row)) != "-" for row in rows_of(table))
    return P_OF_SPECIFICITY if has_p and table["unit"] == PATIENTS else ""


def control_cells(table: Mapping[str, object]) -> list[list[str]]:
    """(name, balanced accuracy, AUROC, accuracy) of each control."""
    return [
        [name.replace("_", " "), *(_decimals(number(table, "controls", name, m)) for m in CONTROL_METRICS)]
        for name in at(table, "controls")
    ]


def _spread(found: Mapping[str, object]) -> str:
    mean, sd = number(found, "mean"), number(found, "sd")
    return _decimals(mean) + (f" ± {sd:.3f}" if sd is not None else "")


def _difference(versus: Mapping[str, object]) -> str:
    difference, ends = number(versus, "difference"), versus.get("ci95")
    if difference is None:
        return "-"
    interval = f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if isinstance(ends, Sequence) and len(ends) == 2 else ""
    return f"{difference:+.3f}{interval}"


def _runs_over(table: Mapping[str, object], seeds: int) -> list[str]:
    """What intervals and p are of."""
    if table["unit"] == FEDERATIONS:
        return ["Intervals and differences run over federations, not over patients."] if seeds > 1 else []
    tests = dict.fromkeys(str(entry["test"]) for row in rows_of(table) for entry in _entries(row))
    reasons = [f"N{test[1:]}." for test in tests if test.startswith("no test")]
    return [*([f"{OVER_PATIENTS} {P_OF_SPECIFICITY}"] if _is_over_patients(table) else []), *reasons]


def _is_over_patients(table: Mapping[str, object]) -> bool:
    """Whether differences are of patients; where nothing could be tested they are means over seeds."""
    intervals = [entry["ci95"] for row in rows_of(table) for entry in _entries(row)]
    return table["unit"] == PATIENTS and any(intervals)


def _entries(row: Row) -> list[Mapping[str, object]]:
    versus = row["versus"]
    assert isinstance(versus, Sequence)
    return [entry for entry in versus if isinstance(entry, Mapping)]


def _p(versus: Sequence[Mapping[str, object]]) -> str:
    """Of the first metric that was tested."""
    known = (number(entry, "p_corrected") for entry in versus)
    return _decimals(next((p for p in known if p is not None), None))


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
