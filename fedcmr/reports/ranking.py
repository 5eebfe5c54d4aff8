"""Whether one algorithm ranks patients better than another: the difference of two AUROCs on the same patients.

Source: DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44:837-845.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcmr.reports.statistics import Paired

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

LEAST_VARIANCE = 1e-18
"""Below is what rounding leaves of 0; a single pair that is ranked otherwise among 1000 x 1000 patients gives 1e-13."""


@dataclass(frozen=True)
class Rankings:
    """Two algorithms' scores of one client's P patients; higher is more diseased.

    Args:
        sick: (P,) whether a patient is diseased.
        ours, theirs: (P,) scores; only their order counts.
    """

    sick: Flags
    ours: Numbers
    theirs: Numbers


def components(sick_M: Numbers, well_N: Numbers) -> tuple[Numbers, Numbers]:
    """Structural components of one AUROC: V10_i = Σ_j ψ(x_i, y_j) / N and V01_j = Σ_i ψ(x_i, y_j) / M.

    ψ is 1 where the diseased patient's score x_i is the higher one, ½ where both are equal, else 0. The mean of either
    is the AUROC.

    Args:
        sick_M, well_N: scores of the diseased and of the healthy, at least one each.
    """
    won_MN = (sick_M[:, None] > well_N) + 0.5 * (sick_M[:, None] == well_N)
    return won_MN.mean(axis=1), won_MN.mean(axis=0)


def auroc_difference(client: Rankings) -> tuple[float, float | None]:
    """(difference, its variance) of AUROC, ours − theirs, patients paired.

    With D10_i and D01_j the differences of the two algorithms' components, var = s²(D10) / M + s²(D01) / N, where s² is
    the sample variance; the covariance of the two AUROCs is in it. None with a single diseased or healthy patient,
    whose s² is undefined.
    """
    sick_P = client.sick
    M, N = int(sick_P.sum()), int((~sick_P).sum())
    ours = components(client.ours[sick_P], client.ours[~sick_P])
    theirs = components(client.theirs[sick_P], client.theirs[~sick_P])
    apart_M, apart_N = ours[0] - theirs[0], ours[1] - theirs[1]
    variance = float(apart_M.var(ddof=1) / M + apart_N.var(ddof=1) / N) if min(M, N) > 1 else None
    return float(apart_M.mean()), variance


def compare_rankings(clients: Mapping[str, Rankings], too_few: str) -> Paired:
    """Two-sided z-test of the difference of AUROC, mean over K clients: d = Σ d_k / K, var = Σ var_k / K².

    Patients of different clients are independent, and so are the clients' differences. The interval is
    d ± z(0.975) √var.

    Args:
        clients: those with both classes.
        too_few: why there is no p, "" where there may be one.
    Returns: a difference alone where a client has a single patient of a class, or where the variance is 0.
    """
    from scipy.stats import norm

    n = sum(len(client.sick) for client in clients.values())
    if not clients:
        return Paired(None, None, None, "no client has test patients of both classes", 0)
    found = [auroc_difference(client) for client in clients.values()]
    difference = math.fsum(one for one, _ in found) / len(found)
    variances = [one for _, one in found if one is not None]
    if len(variances) < len(found):
        return Paired(difference, None, None, single_of_a_class(clients), n)
    variance = math.fsum(variances) / len(found) ** 2
    if variance < LEAST_VARIANCE:
        return Paired(difference, None, None, too_few or "the difference of AUROC has no variance", n)
    error = math.sqrt(variance)
    half = float(norm.ppf(0.975)) * error
    p = None if too_few else float(2 * norm.sf(abs(difference) / error))
    return Paired(difference, (difference - half, difference + half), p, too_few, n)


def single_of_a_class(clients: Mapping[str, Rankings]) -> str:
    """Names the first client with one diseased or one healthy patient, of whose spread nothing is known; else ""."""
    for name, client in clients.items():
        for word, count in (("diseased", client.sick.sum()), ("healthy", (~client.sick).sum())):
            if count == 1:
                return f"{name} has a single {word} test patient"
    return ""
