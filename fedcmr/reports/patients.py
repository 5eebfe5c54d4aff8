"""Who trains, validates and tests, as a table for the terminal."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from fedcmr.data.cases import Case
from fedcmr.data.splits import Split


def print_patients(
    console: Console, folds: Sequence[Mapping[str, Split]], label_of: Callable[[Case], str], classes: Sequence[str]
) -> None:
    """A row for each client (of the first fold), with its patients of each class in training, validation and test."""
    title = "Patients" if len(folds) == 1 else f"Patients of fold 1 of {len(folds)}"
    made = Table(
        title=f"\n{title}", title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False, show_edge=False
    )
    made.add_column("client")
    for part in ("training", "validation", "test"):
        made.add_column(part, justify="right")
    for client, split in sorted(folds[0].items()):
        made.add_row(client, *(_counted(cases, label_of, classes) for cases in (split.train, split.val, split.test)))
    console.print(made)


def _counted(cases: Sequence[Case], label_of: Callable[[Case], str], classes: Sequence[str]) -> str:
    counts = Counter(label_of(case) for case in cases)
    return f"{len(cases)} ({', '.join(f'{counts[name]} {name}' for name in classes)})"
