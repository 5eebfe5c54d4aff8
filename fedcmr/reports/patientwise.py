"""Two algorithms on the same real patients: what differs between them, and how far chance among patients reaches.

On real data seeds share their patients, so runs are no repeats; the unit is one test patient. Seeds are averaged first:
a patient's margin is the mean over seeds of logit p(disease) − logit threshold, and he is called diseased where it is
at least 0. Patients vary, training does not: all this is said of the models that were trained, for patients like these.
Two studies of one person count as two patients.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcmr.reports.calibrating import ENDS
from fedcmr.reports.journal import LAST, Reported
from fedcmr.reports.ranking import Flags, Numbers, Rankings, compare_rankings, single_of_a_class
from fedcmr.reports.reading import at, number
from fedcmr.reports.statistics import Paired, estimate

VIEW = "personal"
BALANCED, SPECIFICITY = f"mean.{VIEW}.balanced_accuracy", f"overall.{VIEW}.specificity"
SENSITIVITY, AUROC = f"overall.{VIEW}.sensitivity", f"mean.{VIEW}.auroc"
TESTS: Mapping[str, str] = {
    BALANCED: "95 % bootstrap interval over {n} patients, no p",
    SPECIFICITY: "exact McNemar over {n} healthy patients, Holm",
    SENSITIVITY: "exact McNemar over {n} diseased patients, Holm",
    AUROC: "DeLong over {n} patients, Holm",
}
"""Metric (its path in a summary) -> what is made of it, in the order of a table's entries."""

FEWEST_PATIENTS, FEWEST_OF_A_CLASS = 30, 2
DRAWS, SEED = 2000, 0


class Runs(Protocol):
    """One algorithm's runs on the same patients, one for each seed."""

    @property
    def summaries(self) -> Sequence[Mapping[str, object]]: ...
    @property
    def predictions(self) -> Sequence[Sequence[Reported]]: ...


@dataclass(frozen=True)
class Judged:
    """P test patients as one algorithm judges them, means over seeds.

    Args:
        keys: (client, patient) of each, sorted.
        sick: (P,) whether a patient is diseased.
        scores: (P,) mean of logit p(disease), p clipped to [1e-6, 1 − 1e-6].
        margins: (P,) mean of logit p(disease) − logit threshold of his fold.
    """

    keys: Sequence[tuple[str, str]]
    sick: Flags
    scores: Numbers
    margins: Numbers

    @property
    def hits(self) -> Flags:
        """(P,) whether he is called what he is."""
        return (self.margins >= 0) == self.sick


def compare_runs(ours: Runs, theirs: Runs) -> dict[str, Paired]:
    """Each metric of TESTS, ours − theirs, over patients; untested with more classes or with a model that diverged.

    Raises: ValueError where there is nothing to judge, or where patients cannot be paired.
    """
    rows = [row for runs in (ours, theirs) for own in runs.predictions for row in own]
    classes = max((len(row.prediction.probabilities) for row in rows), default=2)
    if classes > 2:
        return untested(ours, theirs, f"{classes} classes; tests over patients are for two")
    judged = judge(ours), judge(theirs)
    if not all(np.isfinite(one.scores).all() for one in judged):
        return untested(ours, theirs, "probabilities that are not finite")
    return compare_patients(*judged)


def untested(ours: Runs, theirs: Runs, reason: str) -> dict[str, Paired]:
    """Each metric of TESTS, ours − theirs, mean over seeds as the summaries have it, without interval and test."""
    found = {}
    for metric in TESTS:
        values = [[number(summary, *metric.split(".")) for summary in runs.summaries] for runs in (ours, theirs)]
        pairs = zip(*values, strict=True)
        known = estimate([one - two for one, two in pairs if one is not None and two is not None])
        found[metric] = Paired(known.mean, None, None, reason, known.n)
    return found


def judge(runs: Runs) -> Judged:
    """The test patients of the last round in the personal view, averaged over seeds; of two classes.

    Raises: ValueError without patients, where a patient is not predicted once in each run with one label, or where a
        run has no threshold for his fold.
    """
    said: dict[tuple[str, str], dict[int, tuple[bool, float, float]]] = {}
    for run, (summary, rows) in enumerate(zip(runs.summaries, runs.predictions, strict=True)):
        for told, fold in ((row.prediction, row.fold) for row in rows if row.round == LAST):
            if told.view == VIEW:
                own, score = said.setdefault((told.client, told.patient), {}), _logit(told.probabilities[1])
                if run in own:
                    raise ValueError(f"{told.client}, patient {told.patient}: predicted twice in a run, expected once.")
                own[run] = (told.label > 0, score, score - _logit(_threshold(summary, fold)))
    if not said:
        raise ValueError(f"No test patient of the round '{LAST}' in the view '{VIEW}'; expected at least one.")
    for (client, patient), own in said.items():
        if len(own) != len(runs.summaries) or len({sick for sick, *_ in own.values()}) != 1:
            met = f"predicted in {len(own)} of {len(runs.summaries)} runs"
            raise ValueError(f"{client}, patient {patient}: {met}; expected in each, always with the same label.")
    keys = sorted(said)
    mean_P3 = np.array([np.mean(list(said[key].values()), axis=0) for key in keys])
    return Judged(keys, mean_P3[:, 0] > 0, mean_P3[:, 1], mean_P3[:, 2])


def compare_patients(ours: Judged, theirs: Judged) -> dict[str, Paired]:
    """Each metric of TESTS, ours − theirs, over patients paired by (client, patient).

    Balanced accuracy and AUROC are means over the clients with both classes, specificity and sensitivity of all
    patients as one. No p with fewer than 30 patients or fewer than two of a class (our choice).

    Raises: ValueError where the two judged other patients, or the same with other labels.
    """
    if list(ours.keys) != list(theirs.keys) or (ours.sick != theirs.sick).any():
        strays = sorted(set(ours.keys) ^ set(theirs.keys))
        met = f"only one judged {strays[0]}" if strays else "their labels differ"
        raise ValueError(f"The two algorithms cannot be paired by patient: {met}; expected the same patients.")
    sick_P, too_few = ours.sick, _too_few(ours.sick)
    names_P = np.array([client for client, _ in ours.keys])
    each = {str(name): names_P == name for name in np.unique(names_P)}
    both = {name: own_P for name, own_P in each.items() if len(set(sick_P[own_P])) == 2}
    gain_P = ours.hits.astype(int) - theirs.hits.astype(int)
    ranked = {name: Rankings(sick_P[own_P], ours.scores[own_P], theirs.scores[own_P]) for name, own_P in both.items()}
    return {
        BALANCED: compare_hits([(gain_P[own_P], sick_P[own_P]) for own_P in both.values()], single_of_a_class(ranked)),
        SPECIFICITY: mcnemar(gain_P[~sick_P], too_few),
        SENSITIVITY: mcnemar(gain_P[sick_P], too_few),
        AUROC: compare_rankings(ranked, too_few),
    }


def compare_hits(clients: Sequence[tuple[NDArray[np.int_], Flags]], lone: str) -> Paired:
    """Difference of balanced accuracy, mean over clients: Σ_k (mean gain of diseased + of healthy) / 2K.

    95 % percentile interval of 2000 draws with replacement within client and label. A stratum of n patients is drawn
    as its counts of gains +1, −1 and 0: multinomial, the same law as drawing patients.

    Args:
        clients: (gain_P, sick_P) of each client with both classes; gain is 1 where only we are right, −1 where only
            they are, else 0.
        lone: why there is no interval, "" where there is one: a stratum of one patient would never vary.
    Returns: no p; where both are right and wrong alike, an interval of no width.
    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 13.3.
    """
    if not clients:
        return Paired(None, None, None, "no client has test patients of both classes", 0)
    random = np.random.default_rng(SEED)
    n = sum(len(gain_P) for gain_P, _ in clients)
    difference, drawn_B = 0.0, np.zeros(DRAWS)
    for stratum_P in (gain_P[sick_P == label] for gain_P, sick_P in clients for label in (False, True)):
        weight = 1 / (2 * len(clients) * len(stratum_P))
        shares = [(stratum_P == gain).mean() for gain in (1, -1, 0)]
        counts_B3 = random.multinomial(len(stratum_P), shares, size=DRAWS)
        difference += weight * float(stratum_P.sum())
        drawn_B += weight * (counts_B3[:, 0] - counts_B3[:, 1])
    low, high = np.percentile(drawn_B, (2.5, 97.5))
    return Paired(difference, None if lone else (float(low), float(high)), None, lone, n)


def mcnemar(gain_P: NDArray[np.int_], too_few: str) -> Paired:
    """McNemar's exact test of the difference (b − c) / n of two shares of right decisions: b ~ Binomial(b + c, ½).

    The interval is Wald's after ½ is added to each cell of the 2 x 2 table, cut at ±1: it has a width without
    discordant patients too. It is approximate, and may disagree with the test where p is close to 0.05.

    Args:
        gain_P: of n patients of one class: 1 where only we are right (b of them), −1 where only they are (c), else 0.
        too_few: why there is no p, "" where there may be one.
    Returns: p = 1 without discordant patients; no difference without patients.
    Source: McNemar 1947, Psychometrika 12:153-157; interval: Agresti and Min 2005, Statistics in Medicine 24:729-740.
    """
    from scipy.stats import binomtest, norm

    n, b, c = len(gain_P), int((gain_P == 1).sum()), int((gain_P == -1).sum())
    if not n:
        return Paired(None, None, None, too_few, 0)
    middle = (b - c) / (n + 2)
    half = float(norm.ppf(0.975) * np.sqrt((b + c + 1) / (n + 2) - middle**2) / np.sqrt(n + 2))
    p = None if too_few else float(binomtest(b, b + c).pvalue) if b + c else 1.0
    return Paired((b - c) / n, (max(-1.0, middle - half), min(1.0, middle + half)), p, too_few, n)


def _too_few(sick_P: Flags) -> str:
    sick, well = int(sick_P.sum()), int((~sick_P).sum())
    if sick + well < FEWEST_PATIENTS:
        return f"{sick + well} test patients; no p is given below {FEWEST_PATIENTS}"
    if min(sick, well) < FEWEST_OF_A_CLASS:
        return f"{sick} diseased and {well} healthy test patients; no p is given below {FEWEST_OF_A_CLASS} of each"
    return ""


def _threshold(summary: Mapping[str, object], fold: int) -> float:
    thresholds = at(summary, "threshold").get(LAST)
    if not isinstance(thresholds, Sequence) or not 0 <= fold < len(thresholds):
        raise ValueError(f"Summary: threshold.{LAST} is {thresholds!r}; expected one for fold {fold}.")
    return float(thresholds[fold])


def _logit(p: float) -> float:
    inside = min(max(p, ENDS), 1 - ENDS)
    return math.log(inside / (1 - inside))
