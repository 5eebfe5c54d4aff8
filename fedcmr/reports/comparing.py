"""table.json: what several algorithms scored in the same federations (same seeds, same patients), and what that tells.

A row for each algorithm with mean, standard deviation and 95 % interval over seeds. Every other row is compared with
the first one, the reference, federation by federation (statistics.py), in one metric; Holm corrects for their number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcmr.messages import Round
from fedcmr.reports.calibrating import calibration
from fedcmr.reports.journal import LAST, Reported
from fedcmr.reports.reading import at, controls_of, number
from fedcmr.reports.statistics import Estimate, Paired, compare, detectable_difference, estimate, holm

METRIC = "mean.personal.balanced_accuracy"
Tree = dict[str, object]
Summary = Mapping[str, object]


@dataclass(frozen=True)
class Repeats:
    """One algorithm's runs.

    Args:
        algorithm: its name.
        summaries: of summary.json, one for each seed; all algorithms in the same order of seeds.
        seconds: wall time of each run.
        rounds: of each run. predictions: of each run's test patients; none where nothing is asked of them.
    """

    algorithm: str
    summaries: Sequence[Summary]
    seconds: Sequence[float]
    rounds: Sequence[Sequence[Round]] = ()
    predictions: Sequence[Sequence[Reported]] = ()


def comparison_table(repeats: Sequence[Repeats], metric: str = METRIC, is_primary: bool = True) -> Tree:
    """All of table.json.

    Args:
        repeats: the algorithms; the first is the reference.
        metric: path of the compared metric in a summary, "scope.view.name".
        is_primary: whether this is the one endpoint that was tested (phantoms); on real patients `primary` is null,
            since seeds share their patients and a test over them says nothing of other patients.
    Raises: ValueError without algorithms, or where two of them have other seeds.
    """
    if not repeats:
        raise ValueError("Nothing to compare; expected at least one algorithm.")
    seeds = [_seeds(repeat) for repeat in repeats]
    for repeat, own in zip(repeats, seeds, strict=True):
        if own != seeds[0]:
            raise ValueError(
                f"{repeat.algorithm} ran seeds {own}, {repeats[0].algorithm} {seeds[0]}; expected the same."
            )
    reference, others = repeats[0], repeats[1:]
    paired = [compare(_values(other, metric), _values(reference, metric)) for other in others]
    corrected = holm([found.p for found in paired])
    versus = [[_versus(reference, metric, found, p)] for found, p in zip(paired, corrected, strict=True)]
    return {
        "rows": [_row(repeat, entries) for repeat, entries in zip(repeats, [[], *versus], strict=True)],
        "data": reference.summaries[0].get("data"),
        "rounds": reference.summaries[0].get("rounds"),
        "reference": reference.algorithm,
        "primary": _primary(metric, reference) if is_primary else None,
        "detectable_difference": _detectable(reference, others, metric),
        "controls": _controls(reference.summaries),
        "provenance": reference.summaries[0].get("provenance", []),
    }


def _seeds(repeat: Repeats) -> list[object]:
    return [summary.get("seed") for summary in repeat.summaries]


def _row(repeat: Repeats, versus: Sequence[Tree]) -> Tree:
    first = repeat.summaries[0]
    clients = list(at(first, "clients"))
    metrics: Tree = {scope: _scope(repeat.summaries, scope) for scope in ("mean", "overall")}
    metrics["clients"] = {client: _scope(repeat.summaries, "clients", client) for client in clients}
    up = [number(summary, "bytes", "up", "total") for summary in repeat.summaries]
    each = [_per_client_and_round(summary) for summary in repeat.summaries]
    return {
        "algorithm": repeat.algorithm,
        "fidelity": first.get("fidelity"),
        "seeds": _seeds(repeat),
        "metrics": metrics,
        "worst_client": {view: {"balanced_accuracy": _worst(repeat.summaries, view)} for view in at(first, "overall")},
        "spread_of_clients": {
            view: {"balanced_accuracy": _spread(repeat.summaries, view)} for view in at(first, "overall")
        },
        "calibration": {view: _calibration(repeat.predictions, view) for view in at(first, "overall")},
        "aggregation": {name: _aggregation(repeat.rounds, name) for name in ("error", "cosine")},
        "parameters": dict(at(first, "parameters")),
        "bytes_up": estimate(up).mean,
        "bytes_up_per_client_and_round": estimate(each).mean,
        "seconds": estimate(list(repeat.seconds)).mean,
        "versus": list(versus),
    }


def _scope(summaries: Sequence[Summary], *path: str) -> Tree:
    views = at(summaries[0], *path)
    return {view: {name: _estimated(summaries, *path, view, name) for name in at(views, view)} for view in views}


def _estimated(summaries: Sequence[Summary], *path: str) -> Tree:
    return _said(estimate([number(summary, *path) for summary in summaries]))


def _said(found: Estimate) -> Tree:
    return {"mean": found.mean, "sd": found.sd, "ci95": found.ci95}


def _worst(summaries: Sequence[Summary], view: str) -> Tree:
    """The smallest balanced accuracy of a client, in each run, then over seeds."""
    return _said(estimate([min(_of_clients(summary, view), default=None) for summary in summaries]))


def _spread(summaries: Sequence[Summary], view: str) -> Tree:
    """From the smallest to the largest balanced accuracy of a client, in each run, then over seeds."""
    own = [_of_clients(summary, view) for summary in summaries]
    return _said(estimate([max(values) - min(values) if values else None for values in own]))


def _of_clients(summary: Summary, view: str) -> list[float]:
    own = [number(summary, "clients", client, view, "balanced_accuracy") for client in at(summary, "clients")]
    return [value for value in own if value is not None]


def _calibration(runs: Sequence[Sequence[Reported]], view: str) -> Tree:
    """Intercept and slope over all test patients of the last round, in each run, then over seeds; for two classes."""
    fitted = []
    for rows in runs:
        last = [row.prediction for row in rows if row.round == LAST and row.prediction.view == view]
        binary = [said for said in last if len(said.probabilities) == 2]
        if binary:
            fitted.append(calibration([said.label for said in binary], [said.probabilities[1] for said in binary]))
    return {word: _said(estimate([one[place] for one in fitted])) for place, word in enumerate(("intercept", "slope"))}


def _aggregation(runs: Sequence[Sequence[Round]], name: str) -> Tree:
    """Mean over the rounds of each run, then over seeds."""
    return _said(estimate([estimate([closed.aggregation.get(name) for closed in rounds]).mean for rounds in runs]))


def _per_client_and_round(summary: Summary) -> float | None:
    clients = at(summary, "bytes", "up", "clients")
    return estimate([number(clients, client, "per_round") for client in clients]).mean


def _values(repeat: Repeats, metric: str) -> list[float | None]:
    return [number(summary, *metric.split(".")) for summary in repeat.summaries]


def _versus(reference: Repeats, metric: str, paired: Paired, corrected: float | None) -> Tree:
    return {
        "algorithm": reference.algorithm,
        "metric": metric,
        "difference": paired.difference,
        "ci95": paired.ci95,
        "p": paired.p,
        "p_corrected": corrected,
        "test": f"no test: {paired.reason}" if paired.reason else f"exact sign-flip over {paired.n} federations, Holm",
    }


def _primary(metric: str, reference: Repeats) -> Tree:
    return {"metric": metric, "reference": reference.algorithm, "unit": "federation", "correction": "Holm"}


def _detectable(reference: Repeats, others: Sequence[Repeats], metric: str) -> float | None:
    """With 80 % power at 5 %, from the widest of the comparisons; None without two pairs."""
    base = _values(reference, metric)
    found = []
    for other in others:
        pairs = [(one, two) for one, two in zip(_values(other, metric), base, strict=True)]
        spread = estimate([one - two for one, two in pairs if one is not None and two is not None])
        found.append(detectable_difference(spread.sd, spread.n))
    return max((value for value in found if value is not None), default=None)


def _controls(summaries: Sequence[Summary]) -> Tree:
    """control -> metric -> mean over seeds; patients are the same for every algorithm."""
    return {
        name: {metric: estimate([number(controls_of(one)[name], metric) for one in summaries]).mean for metric in said}
        for name, said in controls_of(summaries[0]).items()
    }
