"""table.json as files: table.json, table.md, table.csv, table.tex, and a table for the terminal."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

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

TERMINAL_HEADINGS: Mapping[str, str] = {
    "personal": "bal. acc. (personal)",
    "global": "bal. acc. (global)",
    "difference": "difference [95 %]",
    "p": "p (Holm)",
    "kB up": "kB up",
}
"""Heading in a terminal -> heading in the files."""

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


def write_table(folder: Path, table: Mapping[str, object]) -> None:
    """Writes the four files. Raises: ValueError where a number is NaN or infinite."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(table, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    for name, content in {
        "table.json": text,
        "table.md": markdown(table),
        "table.csv": comma_separated(table),
        "table.tex": latex(table),
    }.items():
        beside = folder / f".{name}"
        beside.write_text(content, encoding="utf-8")
        beside.replace(folder / name)


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


def markdown(table: Mapping[str, object]) -> str:
    """Two pipe tables with their captions, and the controls."""
    lines = [_piped(HEADINGS), _piped(["---", "---", *["---:"] * (len(HEADINGS) - 2)])]
    lines += [_piped(cells(row)) for row in rows_of(table)]
    lines += ["", *(f"{line}  " for line in caption(table)), ""]
    lines += [_piped(MORE_HEADINGS), _piped(["---", *["---:"] * (len(MORE_HEADINGS) - 1)])]
    lines += [_piped(more_cells(row)) for row in rows_of(table)]
    lines += ["", *(f"{line}  " for line in MORE_CAPTION), ""]
    lines += [_piped(["control", "bal. acc.", "AUROC", "accuracy"]), _piped(["---", "---:", "---:", "---:"])]
    lines += [_piped(control) for control in control_cells(table)]
    return "\n".join(lines) + "\n"


def comma_separated(table: Mapping[str, object]) -> str:
    """Every number of every row, one column each, named by its path: `metrics.mean.personal.auroc.sd`."""
    flat = [dict(_leaves(row)) for row in rows_of(table)]
    columns = list(dict.fromkeys(name for row in flat for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if row.get(name) is None else row[name] for name in columns] for row in flat])
    return text.getvalue()


def latex(table: Mapping[str, object]) -> str:
    """A booktabs tabular, to be \\input."""
    rows = "\n".join(" & ".join(map(_escaped, cells(row))) + r" \\" for row in rows_of(table))
    heads = " & ".join(map(_escaped, HEADINGS)) + r" \\"
    notes = "\n".join(f"% {line}" for line in caption(table))
    columns = "ll" + "r" * (len(HEADINGS) - 2)
    body = "\n".join((rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heads, r"\midrule", rows, r"\bottomrule"))
    return f"{notes}\n{body}\n\\end{{tabular}}\n"


def terminal_table(table: Mapping[str, object]) -> Table:
    """The columns that 80 characters have room for, with a line for each control beneath."""
    title = f"Balanced accuracy, mean over clients, {table['data']}"
    made = Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    for heading in ("algorithm", *TERMINAL_HEADINGS):
        made.add_column(heading, justify="left" if heading == "algorithm" else "right", no_wrap=True)
    for row in rows_of(table):
        said = dict(zip(HEADINGS, cells(row), strict=True))
        made.add_row(said["algorithm"], *(said[heading].split(" [")[0] for heading in TERMINAL_HEADINGS.values()))
    made.add_section()
    for name, balanced, *_ in control_cells(table):
        made.add_row(f"({name})", balanced, style="dim")
    if any(_p(_entries(row)) != "-" for row in rows_of(table)) and table["unit"] == PATIENTS:
        made.caption, made.caption_justify = P_OF_SPECIFICITY, "left"
    return made


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


def _piped(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def _escaped(text: str) -> str:
    for mark, written in (("%", r"\%"), ("_", r"\_"), ("±", r"$\pm$"), ("&", r"\&")):
        text = text.replace(mark, written)
    return text


def _leaves(tree: object, path: str = "") -> list[tuple[str, object]]:
    if isinstance(tree, Mapping):
        return [leaf for key in tree for leaf in _leaves(tree[key], f"{path}.{key}" if path else str(key))]
    if isinstance(tree, (list, tuple)) and any(isinstance(item, Mapping) for item in tree):
        return [leaf for index, item in enumerate(tree) for leaf in _leaves(item, f"{path}.{index}")]
    return [(path, " ".join(map(str, tree)) if isinstance(tree, (list, tuple)) else tree)]
