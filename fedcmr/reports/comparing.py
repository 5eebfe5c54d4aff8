"""table.json: what several algorithms scored in the same federations (same seeds, same patients), and what that tells.

A row for each algorithm with mean, standard deviation and 95 % interval over seeds. Every other row is compared with
the first one, the reference: federation by federation in one metric (statistics.py), patient by patient in several
(patientwise.py), or untested where sites are simulated. Holm corrects for the number of rows, each metric by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcmr.messages import Round
from fedcmr.reports.calibrating import calibration
from fedcmr.reports.journal import LAST, Reported
from fedcmr.reports.patientwise import TESTS, compare_runs, untested
from fedcmr.reports.reading import at, controls_of, number
from fedcmr.reports.statistics import Estimate, Paired, compare, detectable_difference, estimate, holm

METRIC = "mean.personal.balanced_accuracy"
SIGN_FLIP = "exact sign-flip over {n} federations, Holm"
FEDERATIONS, PATIENTS, NONE = UNITS = ("federations", "patients", "none")
"""Over what a comparison runs."""

Tree = dict[str, object]
Summary = Mapping[str, object]
NOTHING: Mapping[str, Sequence[Summary | None]] = {}


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


def unit_of(data: str) -> str:
    """Over what algorithms are compared on a data set: each seed of phantoms is a federation of its own, seeds of real
    data share their patients, and ACDC's sites are simulated.
    """
    return {"phantom": FEDERATIONS, "acdc": NONE}.get(data, PATIENTS)


def comparison_table(
    repeats: Sequence[Repeats], unit: str = FEDERATIONS, more: Mapping[str, Sequence[Summary | None]] = NOTHING
) -> Tree:
    """All of table.json.

    Args:
        repeats: the algorithms; the first is the reference.
        unit: "federations": METRIC is the one endpoint that is tested, and `primary` and `detectable_difference` say
            so, which else are null; "patients": the metrics of patientwise.TESTS; "none": their differences alone.
        more: control -> its metrics for each seed, beside those that every run has; None where there are none.
    Raises: ValueError without algorithms, where two of them have other seeds, or for another unit.
    """
    if unit not in UNITS:
        raise ValueError(f"Comparison over '{unit}'; expected one of {', '.join(UNITS)}.")
    if not repeats:
        raise ValueError("Nothing to compare; expected at least one algorithm.")
    seeds = [_seeds(repeat) for repeat in repeats]
    for repeat, own in zip(repeats, seeds, strict=True):
        if own != seeds[0]:
            raise ValueError(
                f"{repeat.algorithm} ran seeds {own}, {repeats[0].algorithm} {seeds[0]}; expected the same."
            )
    reference, others = repeats[0], repeats[1:]
    versus = [[], *_versus(reference, others, unit)]
    return {
        "rows": [_row(repeat, entries) for repeat, entries in zip(repeats, versus, strict=True)],
        "data": reference.summaries[0].get("data"),
        "rounds": reference.summaries[0].get("rounds"),
        "reference": reference.algorithm,
        "unit": unit,
        "primary": _primary(reference) if unit == FEDERATIONS else None,
        "detectable_difference": _detectable(reference, others) if unit == FEDERATIONS else None,
        "controls": {**_controls(reference.summaries), **{name: _over_seeds(found) for name, found in more.items()}},
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


def _values(repeat: Repeats) -> list[float | None]:
    return [number(summary, *METRIC.split(".")) for summary in repeat.summaries]


def _versus(reference: Repeats, others: Sequence[Repeats], unit: str) -> list[list[Tree]]:
    """For each of the others one entry a metric."""
    found = [_paired(other, reference, unit) for other in others]
    tests = {METRIC: SIGN_FLIP} if unit == FEDERATIONS else TESTS
    corrected = {metric: holm([paired[metric].p for paired in found]) for metric in tests}
    return [
        [_entry(reference, metric, paired[metric], corrected[metric][row], tests[metric]) for metric in tests]
        for row, paired in enumerate(found)
    ]


def _paired(other: Repeats, reference: Repeats, unit: str) -> dict[str, Paired]:
    if unit == FEDERATIONS:
        return {METRIC: compare(_values(other), _values(reference))}
    return compare_runs(other, reference) if unit == PATIENTS else untested(other, reference, "simulated sites")


def _entry(reference: Repeats, metric: str, paired: Paired, corrected: float | None, test: str) -> Tree:
    return {
        "algorithm": reference.algorithm,
        "metric": metric,
        "difference": paired.difference,
        "ci95": paired.ci95,
        "p": paired.p,
        "p_corrected": corrected,
        "test": f"no test: {paired.reason}" if paired.reason else test.format(n=paired.n),
    }


def _primary(reference: Repeats) -> Tree:
    return {"metric": METRIC, "reference": reference.algorithm, "unit": "federation", "correction": "Holm"}


def _detectable(reference: Repeats, others: Sequence[Repeats]) -> float | None:
    """With 80 % power at 5 %, from the widest of the comparisons; None without two pairs."""
    found = []
    for other in others:
        pairs = zip(_values(other), _values(reference), strict=True)
        spread = estimate([one - two for one, two in pairs if one is not None and two is not None])
        found.append(detectable_difference(spread.sd, spread.n))
    return max((value for value in found if value is not None), default=None)


def _controls(summaries: Sequence[Summary]) -> Tree:
    """control -> metric -> mean over seeds; patients are the same for every algorithm."""
    return {
        name: {metric: estimate([number(controls_of(one)[name], metric) for one in summaries]).mean for metric in said}
        for name, said in controls_of(summaries[0]).items()
    }


def _over_seeds(found: Sequence[Summary | None]) -> Tree:
    """metric -> mean over seeds; empty where a seed has none."""
    known = [one for one in found if one is not None]
    if len(known) < len(found) or not known:
        return {}
    return {metric: estimate([number(one, metric) for one in known]).mean for metric in known[0]}
