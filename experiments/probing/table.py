"""The judge's result as Markdown: scores, the same on parts of the images, and what the features encode."""

from collections.abc import Mapping, Sequence
from typing import Any

from probing.encoding import ASKED
from probing.judging import AS_IS, BLANKED, THROUGHOUT, TYPICAL

METRICS = {"auroc": "AUROC", "balanced_accuracy": "bal. accuracy"}
NOTHING = "–"

Rows = Mapping[str, Mapping[str, Any]]


def markdown(result: Mapping[str, Any], opened: int) -> str:
    """Three tables, and how often the held-out patients were opened.

    Args:
        result: see `backbone_probe.py`. opened: how often.
    """
    rows, studies = result["rows"], result["studies"]
    real = [name for name, study in studies.items() if study["is_real"]]
    parts = ["Disease against NOR, with 95 % intervals by bootstrap over patients:"]
    parts += [_scores(rows, list(studies), (AS_IS,))]
    above = _gains(rows, list(studies))
    if above:
        parts += ["AUROC above that of random weights, on the same draws of patients:", above]
    if real:
        parts += ["Real patients with slices 10 mm apart; with the heart blanked in scoring; in teaching too:"]
        parts += [_scores(rows, real, (TYPICAL, BLANKED, THROUGHOUT))]
    encodings = _encodings(rows)
    if encodings:
        parts += ['What frozen features encode, R² (correlation), "->" where phantoms taught; vendor: bal. accuracy:']
        parts += [encodings]
    return "\n\n".join([*parts, f"ACDC's held-out patients were opened {opened} times so far."])


def _scores(rows: Rows, studies: Sequence[str], views: Sequence[str]) -> str:
    """One line a row and judge, two columns a study and view, and below how many patients were scored."""
    sights = [(study, view) for study in studies for view in views]
    heads = [f"{_title(*sight)} {word}" for sight in sights for word in METRICS.values()]
    lines, counts = [], {}
    for name, row in rows.items():
        found = row["scores"]
        for judge in dict.fromkeys(judge for own in found.values() for judge in own):
            scores = [found.get(study, {}).get(judge, {}).get(view) for study, view in sights]
            counts |= {_title(*sight): own for sight, own in zip(sights, scores, strict=True) if own}
            lines.append([name, judge, *(_interval(own and own[metric]) for own in scores for metric in METRICS)])
    titles = [title for title in (_title(*sight) for sight in sights) if title in counts]
    told = "; ".join(
        f"{title}: {counts[title]['n']} patients, {counts[title]['diseased']} diseased" for title in titles
    )
    return f"{_grid(['row', 'judge', *heads], lines)}\n\n{told}."


def _title(study: str, view: str) -> str:
    return study if view == AS_IS else f"{study} {view}"


def _interval(found: Mapping[str, float] | None) -> str:
    if found is None or found["value"] is None:
        return NOTHING
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def _gains(rows: Rows, studies: Sequence[str]) -> str:
    lines = [
        [name, judge, *(_interval(found.get(study, {}).get(judge)) for study in studies)]
        for name, found in ((name, row.get("gain", {})) for name, row in rows.items())
        for judge in dict.fromkeys(judge for own in found.values() for judge in own)
    ]
    return _grid(["row", "judge", *studies], lines) if lines else ""


def _encodings(rows: Rows) -> str:
    lines = []
    for name, row in rows.items():
        vendor = row.get("vendor")
        told = f"{vendor['balanced_accuracy']:.2f} (chance {vendor['chance']:.2f})" if vendor else NOTHING
        for study, found in row.get("encodes", {}).items():
            lines.append([name, study, *map(_agreement, (found[measure] for measure in ASKED)), told])
        for study, found in row.get("carried_over", {}).items():
            lines.append([name, f"-> {study}", *map(_agreement, (found[measure] for measure in ASKED)), ""])
    return _grid(["row", "patients", *ASKED, "vendor"], lines) if lines else ""


def _agreement(found: Mapping[str, float | None]) -> str:
    r2, correlation = (NOTHING if found[name] is None else f"{found[name]:.2f}" for name in ("r2", "correlation"))
    return f"{r2} ({correlation})"


def _grid(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    rules = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in (heads, rules, *lines)
    )
