"""Two by two: do methods rank alike where scanners differ, where case mixes differ, where both or neither do?

    python experiments/shifts.py [--algorithms a,b] [--seeds N] [--out DIR] [key=value ...]

Four tables of configs/experiments/table.yaml, each with the vendors' scanners alike or apart and their mixes of
diagnoses alike or apart, in the same federations: the same persons, so far as a mix allows. Writes each table in full
below DIR, and shifts.md and shifts.json with the four side by side. What is finished is not run again.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedcmr import table
from fedcmr.reports.cells import HEADINGS, caption, rows_of
from fedcmr.reports.cells import cells as as_cells
from fedcmr.reports.reading import at

CELLS: Mapping[str, tuple[int, int]] = {
    "neither": (0, 0),
    "scanners": (1, 0),
    "case mix": (0, 1),
    "both": (1, 1),
}
"""What lies apart between vendors -> (data.acquisition_shift, data.case_mix_shift)."""

ROWS = ("med_dual_lora", "fedavg_lora", "local_only", "pooled", "head_only")
"""The reference, one for all, each alone, all as one, and hardly anything."""

PRIMARY = ("mean", "personal", "balanced_accuracy")
SHOWN = ("bal. acc. (personal)", "difference [95 %]")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status of the first table that fails, or 0."""
    parser = argparse.ArgumentParser(description="Compare methods with each shift between vendors on and off.")
    parser.add_argument("--algorithms", default=",".join(ROWS), metavar="a,b", help=f"default: {', '.join(ROWS)}")
    parser.add_argument("--seeds", type=int, metavar="N", help="federations (default: the table's)")
    parser.add_argument("--out", type=Path, default=Path("runs/shifts"), metavar="DIR")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="knobs of every run")
    said = parser.parse_intermixed_args(arguments)
    found = {}
    for cell, (acquisition, case_mix) in CELLS.items():
        folder = said.out / cell.replace(" ", "-")
        command = ["--config=table", f"--algorithms={said.algorithms}", f"--out={folder}", *said.overrides]
        command += [f"data.acquisition_shift={acquisition}", f"data.case_mix_shift={case_mix}"]
        if failed := table.main([*command, *([] if said.seeds is None else [f"--seeds={said.seeds}"])]):
            return failed
        found[cell] = json.loads((folder / "table.json").read_text(encoding="utf-8"))
    text = markdown(found)
    (said.out / "shifts.json").write_text(json.dumps(summed_up(found), indent=2) + "\n", encoding="utf-8")
    (said.out / "shifts.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def summed_up(tables: Mapping[str, Mapping[str, object]]) -> dict[str, dict[str, object]]:
    """Algorithm -> cell -> its balanced accuracy over federations, and what its row says of differences."""
    found: dict[str, dict[str, object]] = {}
    for cell, said in tables.items():
        for row in rows_of(said):
            told = {"balanced_accuracy": at(row, "metrics", *PRIMARY), "versus": row["versus"]}
            found.setdefault(str(row["algorithm"]), {})[cell] = told
    return found


def markdown(tables: Mapping[str, Mapping[str, object]]) -> str:
    """shifts.md: scores, and differences to the reference, methods by cells."""
    first = next(iter(tables.values()))
    shown = [[as_cells(row) for row in rows_of(said)] for said in tables.values()]
    parts = [
        "\n".join(
            [
                f"| {heading} | {' | '.join(tables)} |",
                f"|---|{'---:|' * len(tables)}",
                *(f"| {own[0][0]} | {' | '.join(cells[at] for cells in own)} |" for own in zip(*shown, strict=True)),
            ]
        )
        for heading, at in ((name, HEADINGS.index(name)) for name in SHOWN)
    ]
    return "\n\n".join([*parts, "Columns: what lies apart between the vendors. " + " ".join(caption(first)[:2])]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
