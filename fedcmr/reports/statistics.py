"""What can be said from a few repeated federations: means, intervals, paired tests, and what those could have seen.

The unit is one federation (one seed): patients of one federation share its model and are no repeats of the method.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_PAIRS = 6
"""With n pairs the smallest two-sided p is 2 / 2^n: five pairs (0.0625) cannot reach 0.05."""

MOST_EXACT = 20
"""More pairs would ask for more than a million flips; nobody runs so many federations."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Args:
        mean: None without values.
        sd: sample standard deviation (n − 1); None of fewer than two values.
        ci95: mean ± t(0.975, n − 1) sd / √n; None of fewer than two values.
        n: number of values.
    """

    mean: float | None
    sd: float | None
    ci95: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class Paired:
    """A paired comparison over federations.

    Args:
        difference: mean of (ours − theirs); None without pairs.
        ci95: t interval of the difference; None of fewer than two pairs.
        p: two-sided, exact; None where it is not given.
        reason: why p is None, else "".
        n: number of pairs.
    """

    difference: float | None
    ci95: tuple[float, float] | None
    p: float | None
    reason: str
    n: int


def estimate(values: Sequence[float | None]) -> Estimate:
    """Mean, standard deviation and 95 % t interval over seeds; seeds where the value is undefined do not count."""
    known = [value for value in values if value is not None]
    if not known:
        return Estimate(None, None, None, 0)
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return Estimate(mean, None, None, 1)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1))
    half = _t_quantile(0.975, len(known) - 1) * sd / math.sqrt(len(known))
    return Estimate(mean, sd, (mean - half, mean + half), len(known))


def compare(ours: Sequence[float | None], theirs: Sequence[float | None]) -> Paired:
    """Sign-flip permutation test of the mean difference, exact over all 2^n flips.

    Under the hypothesis of no difference each pair's difference is as likely with either sign. p is the share of flips
    whose |mean| is at least the one observed (to a relative 1e-9, so that rounding does not break ties).

    Args:
        ours, theirs: one value a federation, paired by position (same seed, same cohort); pairs with an undefined value
            do not count.
    Raises: ValueError where the two differ in length, or with more than 20 pairs.
    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    pairs = [(one, two) for one, two in zip(ours, theirs, strict=True) if one is not None and two is not None]
    differences = [one - two for one, two in pairs]
    found = estimate(differences)
    if len(pairs) > MOST_EXACT:
        raise ValueError(f"{len(pairs)} pairs of federations; the exact test takes at most {MOST_EXACT}.")
    if len(pairs) < FEWEST_PAIRS:
        reason = f"{len(pairs)} pairs; below {FEWEST_PAIRS} no difference can reach p < 0.05"
        return Paired(found.mean, found.ci95, None, reason, len(pairs))
    return Paired(found.mean, found.ci95, _sign_flip(differences), "", len(pairs))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction for the tests that were made; None stays None and does not count.

    p_(i) -> max_{j ≤ i} min(1, (m − j + 1) p_(j)) in ascending order, m tests.
    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    made = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    least = 0.0
    for rank, (p, index) in enumerate(made):
        least = max(least, min(1.0, (len(made) - rank) * p))
        corrected[index] = least
    return corrected


def detectable_difference(sd: float | None, n: int, power: float = 0.8) -> float | None:
    """The smallest mean difference of n pairs that a two-sided paired t test at 5 % finds with this power.

    Found by bisection on the noncentral t distribution: P(|T(n − 1, δ √n / sd)| > t(0.975, n − 1)) = power.

    Args:
        sd: standard deviation of the pairs' differences, ≥ 0; None where unknown.
        n: number of pairs.
        power: in (0.05, 1).
    Returns None where sd is None or there are fewer than two pairs.
    """
    if sd is None or n < 2:
        return None
    from scipy.stats import nct

    critical = _t_quantile(0.975, n - 1)

    def found(effect: float) -> float:
        shift = effect * math.sqrt(n)
        return float(nct.sf(critical, n - 1, shift) + nct.cdf(-critical, n - 1, shift))

    low, high = 0.0, 1.0
    while found(high) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if found(middle) >= power else (middle, high)
    return high * sd


def _sign_flip(differences: Sequence[float]) -> float:
    import numpy as np

    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    observed = abs(math.fsum(differences))
    tolerance = 1e-9 * math.fsum(map(abs, differences))
    return float(np.mean(np.abs(sums) >= observed - tolerance))


def _t_quantile(probability: float, degrees: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, degrees))
