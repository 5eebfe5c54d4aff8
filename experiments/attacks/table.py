"""The table of one bad client: defences by attacks, and what a defence costs a client that is merely different."""

from collections.abc import Mapping, Sequence

from attacks.course import Cell, Outcome
from fedcmr.reports.statistics import estimate

MEAN, NO_ATTACK = "mean", "no attack"
VIEWS = ("personal", "global")
METRICS = {"balanced_accuracy": "balanced accuracy", "auroc": "AUROC"}


def summed_up(cells: Sequence[Cell], outcomes: Sequence[Outcome]) -> dict[str, object]:
    """robustness.json: the score of each row, view and metric in each column, and what the row costs who differs.

    Args:
        cells: of one bad client; among them the mean without an attack, in every federation.
        outcomes: theirs, in this order.
    """
    found = {(cell.row, cell.column, cell.repeat): one for cell, one in zip(cells, outcomes, strict=True)}
    rows, columns, repeats = (
        list(dict.fromkeys(getattr(cell, what) for cell in cells)) for what in ("row", "column", "repeat")
    )
    bad, config = cells[0].bad, cells[0].config
    plain = [found[MEAN, NO_ATTACK, repeat] for repeat in repeats]
    honest = [client for client in sorted(plain[0].scores) if client != bad]
    different = [most_different(outcome, honest) for outcome in plain]
    table = []
    for row in rows:
        for metric, view in ((metric, view) for metric in METRICS for view in VIEWS):
            scores = {
                column: _spread([mean_of(found[row, column, repeat], honest, view, metric) for repeat in repeats])
                for column in columns
            }
            cost = [
                difference(found[row, NO_ATTACK, repeat], mean, client, view, metric)
                for repeat, mean, client in zip(repeats, plain, different, strict=True)
            ]
            table.append({"row": row, "metric": metric, "view": view, "scores": scores, "cost": _spread(cost)})
    return {
        "algorithm": config.names["algorithm"],
        "data": config.names["data"],
        "rounds": config.plain()["rounds"],
        "federations": len(repeats),
        "bad": bad,
        "honest": honest,
        "different": different,
        "alike": [dict(outcome.alike) for outcome in plain],
        "refused": sum(outcome.refused for outcome in outcomes),
        "rows": table,
    }


def most_different(outcome: Outcome, honest: Sequence[str]) -> str:
    """The client whose changes point least like the others'; of equals the first."""
    return min(honest, key=lambda client: outcome.alike[client])


def mean_of(outcome: Outcome, clients: Sequence[str], view: str, metric: str) -> float | None:
    """Over the clients for which the metric is defined."""
    return estimate([outcome.scores[client][view].get(metric) for client in clients]).mean


def difference(ours: Outcome, theirs: Outcome, client: str, view: str, metric: str) -> float | None:
    """What a client scores more in one run than in another; None where either has no such score."""
    one, two = (outcome.scores[client][view].get(metric) for outcome in (ours, theirs))
    return None if one is None or two is None else one - two


def markdown(result: Mapping[str, object]) -> str:
    """robustness.md: a table for each metric and view."""
    rows, honest, different = result["rows"], result["honest"], result["different"]
    assert isinstance(rows, list)
    assert isinstance(honest, list)
    assert isinstance(different, list)
    tables = [
        _table(f"{word}, {view} view", [row for row in rows if (row["metric"], row["view"]) == (metric, view)])
        for metric, word in METRICS.items()
        for view in VIEWS
    ]
    note = (
        f"{result['algorithm']} on {result['data']}, {result['rounds']} rounds, {result['federations']} federation(s): "
        f"mean ± standard deviation over them of the mean over {', '.join(honest)}. {result['bad']} attacks. Two of "
        "the five clients are halves of one vendor, simulated by dividing its patients. Who differs: "
        f"{', '.join(different)}, one a federation; in the last column its score less that under the mean, nobody "
        f"attacking. The door refused {result['refused']} updates in all runs together."
    )
    return "\n\n".join([*tables, note]) + "\n"


def _table(title: str, rows: Sequence[Mapping[str, Mapping[str, Mapping[str, float | None]]]]) -> str:
    columns = list(rows[0]["scores"])
    lines = [f"| {title} | {' | '.join(columns)} | cost to who differs |", f"|---|{'---:|' * (len(columns) + 1)}"]
    for row in rows:
        scores = [_shown(row["scores"][column], "") for column in columns]
        cost = "" if row["row"] == MEAN else _shown(row["cost"], "+")
        lines.append(f"| {row['row']} | {' | '.join(scores)} | {cost} |")
    return "\n".join(lines)


def _spread(values: Sequence[float | None]) -> dict[str, float | int | None]:
    found = estimate(values)
    return {"mean": found.mean, "sd": found.sd, "n": found.n}


def _shown(found: Mapping[str, float | None], sign: str) -> str:
    mean, sd = found["mean"], found["sd"]
    return "-" if mean is None else f"{mean:{sign}.3f}" + (f" ± {sd:.3f}" if sd is not None else "")
