"""Pictures of what a model tells of images: of their hidden parts, and of the heart's outlines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Columns = tuple[Tensor, Tensor, Tensor]
"""Original, masked and reconstructed slice, each (X, Y) in [0, 1]; NaN where hidden."""

HEADINGS = ("original", "masked", "reconstructed")
LETTERS = 38  # of a title over one column
COLOURS = ("tab:cyan", "tab:orange", "tab:red")


@dataclass(frozen=True)
class Outlined:
    """A slice and where structures are in it.

    Args:
        image: (X, Y) in [0, 1].
        true, told: (S, X', Y') shares of up to three structures on a coarser grid of the same field.
    """

    image: Tensor
    true: Tensor
    told: Tensor


def draw_reconstructions(file: Path, rows: Mapping[str, Columns], title: str) -> None:
    """One row an image, one column each for what it is, what is seen of it, and what is told; PNG.

    Args:
        rows: name -> its three slices.
        title: above all.
    """
    figure, grid = _panels(rows, HEADINGS, title)
    for axes, slices in zip(grid, rows.values(), strict=True):
        for axis, slice in zip(axes, slices, strict=True):
            _show(axis, slice)
    _write(figure, file)


def draw_outlines(file: Path, rows: Mapping[str, Mapping[str, Outlined]], title: str) -> None:
    """One row an image, one column a frame; a structure's outline is where its share is a half; PNG.

    True outlines are white and dotted, told ones in the structure's colour.

    Args:
        rows: name -> heading -> slice; the headings of all rows are those of the first.
        title: above all.
    """
    headings = list(next(iter(rows.values())))
    figure, grid = _panels(rows, headings, f"{title}\ndotted: true, coloured: told")
    for axes, slices in zip(grid, rows.values(), strict=True):
        for axis, heading in zip(axes, headings, strict=True):
            outlined = slices[heading]
            _show(axis, outlined.image)
            for told, true, colour in zip(outlined.told, outlined.true, COLOURS, strict=False):
                _outline(axis, told, outlined.image.shape, colour, "solid")
                _outline(axis, true, outlined.image.shape, "white", "dotted")
    _write(figure, file)


def _panels(rows: Mapping[str, object], headings: Sequence[str], title: str) -> "tuple[Figure, list[list[Axes]]]":
    from matplotlib.figure import Figure  # slow to import, and most runs draw nothing

    figure = Figure(figsize=(2.4 * len(headings), 2.5 * len(rows) + 0.4), layout="constrained")
    lines = [part for line in title.splitlines() for part in wrap(line, LETTERS * len(headings))]
    figure.suptitle("\n".join(lines), fontsize=9)
    grid = [list(axes) for axes in figure.subplots(len(rows), len(headings), squeeze=False)]
    for axes, name in zip(grid, rows, strict=True):
        axes[0].set_ylabel(name, fontsize=8)
    for axis, heading in zip(grid[0], headings, strict=True):
        axis.set_title(heading, fontsize=9)
    return figure, grid


def _show(axis: "Axes", slice: Tensor) -> None:
    axis.imshow(slice.T.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axis.set_facecolor("#345")
    axis.set_xticks([])
    axis.set_yticks([])


def _outline(axis: "Axes", share: Tensor, shape: Sequence[int], colour: str, line: str) -> None:
    if not bool((share > 0.5).any()):
        return  # nothing to draw, of which matplotlib would warn
    x, y = (
        (torch.arange(few) + 0.5) * (many / few) - 0.5 for few, many in zip(share.shape, shape, strict=True)
    )  # of the coarse voxels' centres, in pixels
    axis.contour(x.numpy(), y.numpy(), share.T.numpy(), [0.5], colors=colour, linestyles=line, linewidths=1.2)


def _write(figure: "Figure", file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
