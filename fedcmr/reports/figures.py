"""Pictures of a comparison, each as PNG and SVG: scores with intervals, learning curves, ROC curves, bytes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr.messages import Round
from fedcmr.reports.cells import rows_of
from fedcmr.reports.comparing import Repeats
from fedcmr.reports.journal import LAST, Reported
from fedcmr.reports.reading import at, number
from fedcmr.reports.statistics import estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008: told apart by readers who see colours differently; black comes last
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", ":", "-.")
MOST_SHADES = 5


def draw_all(folder: Path, table: Mapping[str, object], repeats: Mapping[str, Repeats]) -> list[Path]:
    """Every picture of a table.

    Args:
        table: of table.json. repeats: algorithm -> its runs.
    """
    return [
        *draw_scores(folder, table),
        *draw_learning(folder, {name: repeat.rounds for name, repeat in repeats.items()}),
        *draw_roc(folder, {name: repeat.predictions for name, repeat in repeats.items()}),
        *draw_bytes(folder, table),
    ]


def draw_scores(folder: Path, table: Mapping[str, object], view: str = "personal") -> list[Path]:
    """scores.png and scores.svg: balanced accuracy of each algorithm at each client and in the mean, test patients.

    Points are means over seeds, bars 95 % t intervals (none of one seed); the dashed line is chance.

    Args:
        table: of table.json.
    """
    rows = rows_of(table)
    clients = list(at(rows[0], "metrics", "clients"))
    places = [*clients, "mean"]
    figure, axes = _canvas(2.2 + len(places) * (0.5 + 0.1 * len(rows)))
    for index, row in enumerate(rows):
        paths = [("clients", client) for client in clients] + [("mean",)]
        found = [at(row, "metrics", *path, view, "balanced_accuracy") for path in paths]
        shift = (index - (len(rows) - 1) / 2) * 0.7 / len(rows)
        _points(axes, [place + shift for place in range(len(places))], found, index, str(row["algorithm"]))
    axes.axhline(0.5, color="0.6", linestyle="--", linewidth=1)
    axes.axvline(len(clients) - 0.5, color="0.85", linewidth=1)
    axes.set_xticks(range(len(places)), places)
    axes.set_ylabel(f"balanced accuracy ({view})")
    axes.set_title(f"Test patients, {table['data']}, {_seeds(rows[0])}", loc="left", fontsize=10)
    _legend(axes)
    return _save(figure, folder, "scores")


def draw_learning(folder: Path, runs: Mapping[str, Sequence[Sequence[Round]]], view: str = "personal") -> list[Path]:
    """learning.png and learning.svg: validation balanced accuracy, mean over clients, round by round.

    Lines are means over seeds (and folds), shades reach from the lowest to the highest of them, where few enough
    algorithms are drawn to tell their shades apart.

    Args:
        runs: algorithm -> the rounds of each of its runs.
    """
    figure, axes = _canvas(6.4)
    for index, (algorithm, repeats) in enumerate(runs.items()):
        values: dict[int, list[float]] = {}
        for closed in (closed for rounds in repeats for closed in rounds):
            mean = estimate([views[view].get("balanced_accuracy") for views in closed.scores.values()]).mean
            if mean is not None:
                values.setdefault(closed.number, []).append(mean)
        numbers = sorted(values)
        colour = COLOURS[index % len(COLOURS)]
        lows, highs = [min(values[n]) for n in numbers], [max(values[n]) for n in numbers]
        if len(runs) <= MOST_SHADES:
            axes.fill_between(numbers, lows, highs, color=colour, alpha=0.15, linewidth=0)
        means = [sum(values[n]) / len(values[n]) for n in numbers]
        axes.plot(
            numbers,
            means,
            color=colour,
            marker=MARKS[index % len(MARKS)],
            markersize=3.5,
            linestyle=_line(index),
            label=algorithm,
        )
    axes.axhline(0.5, color="0.6", linestyle="--", linewidth=1)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("round")
    axes.set_ylabel(f"balanced accuracy ({view})")
    axes.set_title("Validation patients, mean over clients", loc="left", fontsize=10)
    _legend(axes)
    return _save(figure, folder, "learning")


def draw_roc(folder: Path, runs: Mapping[str, Sequence[Sequence[Reported]]], view: str = "personal") -> list[Path]:
    """roc.png and roc.svg: sensitivity against 1 − specificity, over the test patients of all seeds as one.

    Nothing is drawn where there are more than two classes.

    Args:
        runs: algorithm -> the predictions of each of its runs; those of the last round are taken.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    figure, axes = _canvas(5.6)
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    drawn = 0
    for index, (algorithm, repeats) in enumerate(runs.items()):
        said = [
            row.prediction
            for rows in repeats
            for row in rows
            if row.round == LAST and row.prediction.view == view and len(row.prediction.probabilities) == 2
        ]
        labels, scores = [one.label for one in said], [one.probabilities[1] for one in said]
        if len(set(labels)) < 2:
            continue
        drawn += 1
        false, true, _ = roc_curve(labels, scores)
        label = f"{algorithm} {roc_auc_score(labels, scores):.2f}"
        axes.plot(false, true, color=COLOURS[index % len(COLOURS)], linestyle=_line(index), linewidth=1.3, label=label)
    if not drawn:
        return []
    axes.set_xlabel("1 − specificity")
    axes.set_ylabel("sensitivity")
    axes.set_title(f"Test patients of all seeds, {view} view, and AUROC", loc="left", fontsize=10)
    axes.set_aspect("equal")
    _legend(axes)
    return _save(figure, folder, "roc")


def draw_bytes(folder: Path, table: Mapping[str, object], view: str = "personal") -> list[Path]:
    """bytes.png and bytes.svg: balanced accuracy, mean over clients, against what all clients send up in a run.

    Those that send equally much stand side by side, a little to the left and right of their place.

    Args:
        table: of table.json.
    """
    figure, axes = _canvas(7.6)
    rows = rows_of(table)
    for index, row in enumerate(rows):
        shift = 1 + 0.3 * ((index + 0.5) / len(rows) - 0.5)
        sent = (number(row, "bytes_up") or 0.0) / 1e6 * shift
        found = at(row, "metrics", "mean", view, "balanced_accuracy")
        _points(axes, [sent], [found], index, str(row["algorithm"]))
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlabel("sent up by all clients in a run, MB")
    axes.set_ylabel(f"balanced accuracy ({view})")
    axes.set_title(f"Test patients, mean over clients, {_seeds(rows_of(table)[0])}", loc="left", fontsize=10)
    _legend(axes)
    return _save(figure, folder, "bytes")


def _line(index: int) -> str:
    """Another kind of line each time the colours begin again."""
    return LINES[index // len(COLOURS) % len(LINES)]


def _points(axes: "Axes", places: list[float], found: list[Mapping[str, object]], index: int, label: str) -> None:
    shown = [
        (place, mean, one)
        for place, one in zip(places, found, strict=True)
        if (mean := number(one, "mean")) is not None
    ]
    bars: list[tuple[float, float]] = []
    for _, mean, one in shown:
        ends = one.get("ci95")
        low, high = ends if isinstance(ends, (list, tuple)) else (mean, mean)
        bars.append((mean - low, high - mean))
    axes.errorbar(
        [place for place, _, _ in shown],
        [mean for _, mean, _ in shown],
        yerr=[list(side) for side in zip(*bars, strict=True)] if bars else None,
        fmt=MARKS[index % len(MARKS)],
        color=COLOURS[index % len(COLOURS)],
        # where the colours begin again, the marks are open
        markerfacecolor=COLOURS[index % len(COLOURS)] if index // len(COLOURS) % 2 == 0 else "white",
        markersize=5,
        capsize=2,
        linewidth=1,
        label=label,
    )


def _canvas(width: float) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(width, 4.8), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    return figure, axes


def _legend(axes: "Axes") -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)


def _seeds(row: Mapping[str, object]) -> str:
    seeds = row["seeds"]
    count = len(seeds) if isinstance(seeds, Sequence) else 0
    return f"{count} seeds, 95 % intervals" if count > 1 else "one seed"


def _save(figure: "Figure", folder: Path, name: str) -> list[Path]:
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=160)
    # no date and fixed ids: equal tables give equal files
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(svg, metadata={"Date": None})
    return [png, svg]
