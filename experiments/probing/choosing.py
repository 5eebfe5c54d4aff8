"""Which rows there are, and which are asked for."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fedcmr.catalogue import unknown
from probing.controls import CONTROLS
from probing.effort import Effort
from probing.encoding import Measured
from probing.patients import Study
from probing.rows import (
    FURTHER,
    Row,
    Tell,
    Weights,
    backbone_row,
    control_row,
    embedded_weights,
    further_row,
    random_weights,
    weights_of,
)

Judge = Callable[[Sequence[Study], Measured, Effort, Tell], Row]


def candidates(files: Sequence[Path], is_release: bool) -> list[Weights]:
    """The embedded weights and those of the files; in a release the files' alone, where there are any."""
    return [*([] if is_release and files else [embedded_weights()]), *(weights_of(file) for file in files)]


def judges_of(weights: Sequence[Weights]) -> dict[str, Judge]:
    """Every row's name -> its judge. Raises: ValueError where two would have one name."""
    backbones = [random_weights(), *weights]
    names = [one.name for one in backbones]
    if len(set(names)) < len(names):
        raise ValueError(f"Weights named {', '.join(names)}: expected names that differ. Rename a folder.")
    judges: dict[str, Judge] = {one.name: partial(backbone_row, one) for one in backbones}
    judges |= {one.name + FURTHER: partial(further_row, one) for one in weights}
    return judges | {name: partial(control_row, name) for name in CONTROLS}


def chosen_rows(judges: Mapping[str, Judge], asked: str | None, is_quick: bool) -> dict[str, Judge]:
    """The rows that are asked for. Raises: ValueError for a row that there is not."""
    if asked is None:
        return {name: judge for name, judge in judges.items() if not (is_quick and name.endswith(FURTHER))}
    names = [name.strip() for name in asked.split(",")]
    for name in names:
        if name not in judges:
            raise ValueError(unknown("row", name, list(judges)))
    return {name: judges[name] for name in names}
