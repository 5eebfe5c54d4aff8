"""Memory against the number of clients, as a picture."""

from pathlib import Path

from fedcmr.benchmarks.found import Found
from fedcmr.reports.figures import COLOURS


def draw_memory(found: Found, file: Path) -> None:
    """Resident memory of one process with K clients around one model, and what it would be with a model each."""
    from matplotlib.figure import Figure

    rows = found.clients
    first = rows[0].resident_bytes - rows[0].model_bytes
    lines = {
        "a model each (computed)": [first + row.models_bytes for row in rows],
        "one model for all (measured)": [row.resident_bytes for row in rows],
        "of it, kept by clients": [row.kept_bytes for row in rows],
    }
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for (label, values), colour in zip(lines.items(), COLOURS, strict=False):
        axes.plot([row.clients for row in rows], [value / 1e6 for value in values], "o-", color=colour, label=label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([row.clients for row in rows], [str(row.clients) for row in rows])
    axes.set_xlabel("clients in one process")
    axes.set_ylabel("memory, MB")
    axes.set_title(f"Backbone of size {found.size}", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=150)
