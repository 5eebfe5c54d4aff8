"""A picture of masked images and of what a model tells of the hidden parts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

Columns = tuple[Tensor, Tensor, Tensor]
"""Original, masked and reconstructed slice, each (X, Y) in [0, 1]; NaN where hidden."""

HEADINGS = ("original", "masked", "reconstructed")


def draw_reconstructions(file: Path, rows: Mapping[str, Columns], title: str) -> None:
    """One row an image, one column each for what it is, what is seen of it, and what is told; PNG.

    Args:
        rows: name -> its three slices.
        title: above all.
    """
    from matplotlib.figure import Figure  # slow to import, and most runs draw nothing

    figure = Figure(figsize=(2.4 * len(HEADINGS), 2.5 * len(rows) + 0.4), layout="constrained")
    figure.suptitle(title, fontsize=9)
    grid = figure.subplots(len(rows), len(HEADINGS), squeeze=False)
    for axes, (name, slices) in zip(grid, rows.items(), strict=True):
        _row(axes, name, slices)
    for axis, heading in zip(grid[0], HEADINGS, strict=True):
        axis.set_title(heading, fontsize=9)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def _row(axes: Sequence, name: str, slices: Columns) -> None:
    for axis, slice in zip(axes, slices, strict=True):
        axis.imshow(slice.T.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axis.set_facecolor("#345")
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].set_ylabel(name, fontsize=8)
