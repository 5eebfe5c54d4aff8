"""DeLong's test against values worked out by hand, brute force, the jackknife and scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from fedcmr.reports.ranking import Rankings, auroc_difference, compare_rankings, single_of_a_class


def rankings(seed: int, M: int = 40, N: int = 30, better: float = 0.0, decimals: int = 1) -> Rankings:
    """Two algorithms whose scores have noise in common; rounded, so that there are ties."""
    random = np.random.default_rng(seed)
    sick = np.arange(M + N) < M
    seen = random.normal(size=M + N)
    ours, theirs = (np.round(seen + random.normal(size=M + N) + gain * sick, decimals) for gain in (1.0 + better, 1.0))
    return Rankings(sick, ours, theirs)


def auroc(sick: np.ndarray, scores: np.ndarray) -> float:
    won = [(x > y) + 0.5 * (x == y) for x in scores[sick] for y in scores[~sick]]
    return sum(won) / len(won)


def test_delong_is_worked_out_by_hand():
    # ours: 3 beats 1 and 2, 1 ties 1 and loses to 2: V10 1, ¼, V01 ¾, ½. theirs: both beat both: all 1
    client = Rankings(np.array([True, True, False, False]), np.array([3.0, 1, 1, 2]), np.array([3.0, 4, 1, 2]))
    difference, variance = auroc_difference(client)
    assert difference == pytest.approx(5 / 8 - 1)
    # D10 0, −¾: s² = 9/32; D01 −¼, −½: s² = 1/32; halved
    assert variance == pytest.approx((9 / 32 + 1 / 32) / 2)


def test_delong_is_the_brute_force_of_its_covariances():
    client = rankings(5, decimals=0)
    sick, M, N = client.sick, int(client.sick.sum()), int((~client.sick).sum())
    V10, V01 = np.zeros((2, M)), np.zeros((2, N))
    for r, scores in enumerate((client.ours, client.theirs)):
        for i, x in enumerate(scores[sick]):
            for j, y in enumerate(scores[~sick]):
                psi = 1.0 if x > y else 0.5 if x == y else 0.0
                V10[r, i] += psi / N
                V01[r, j] += psi / M
    S = np.cov(V10) / M + np.cov(V01) / N
    difference, variance = auroc_difference(client)
    assert variance == pytest.approx(S[0, 0] + S[1, 1] - 2 * S[0, 1])
    assert variance < 0.8 * (S[0, 0] + S[1, 1]), "pairs are worth something"
    assert difference == pytest.approx(roc_auc_score(sick, client.ours) - roc_auc_score(sick, client.theirs))


def test_delong_is_close_to_the_jackknife_over_patients():
    client = rankings(6)
    P = len(client.sick)
    left_out = []
    for out in range(P):
        kept = np.arange(P) != out
        sick = client.sick[kept]
        left_out.append(auroc(sick, client.ours[kept]) - auroc(sick, client.theirs[kept]))
    jackknife = (P - 1) / P * np.sum((np.array(left_out) - np.mean(left_out)) ** 2)
    assert auroc_difference(client)[1] == pytest.approx(jackknife, rel=0.05)


def test_clients_weigh_the_same_in_the_difference_of_auroc():
    clients = {"vendorA": rankings(7, M=60, N=50, better=0.8), "vendorB": rankings(8, M=12, N=9)}
    (d1, v1), (d2, v2) = map(auroc_difference, clients.values())
    found = compare_rankings(clients, "")
    error = math.sqrt((v1 + v2) / 4)
    assert found.difference == pytest.approx((d1 + d2) / 2)
    assert found.p == pytest.approx(2 * (1 - stats.norm.cdf(abs(d1 + d2) / 2 / error)))
    assert found.ci95 == pytest.approx(((d1 + d2) / 2 - 1.959964 * error, (d1 + d2) / 2 + 1.959964 * error), abs=1e-6)
    assert found.n == 131


def test_equal_rankings_have_no_variance_and_no_p():
    client = rankings(9)
    # another scale, the same order
    found = compare_rankings({"vendorA": replace(client, theirs=3 * client.ours + 1)}, "")
    assert (found.difference, found.p, found.ci95) == (0, None, None)
    assert found.reason == "the difference of AUROC has no variance"


def test_a_single_patient_of_a_class_leaves_a_difference_alone():
    clients = {"vendorA": rankings(1), "vendorB": rankings(2, M=1, N=30), "vendorC": rankings(3, M=9, N=1)}
    assert single_of_a_class(clients) == "vendorB has a single diseased test patient"
    assert auroc_difference(clients["vendorB"])[1] is None
    found = compare_rankings(clients, "")
    expected = [auroc(one.sick, one.ours) - auroc(one.sick, one.theirs) for one in clients.values()]
    assert found.difference == pytest.approx(np.mean(expected))
    assert (found.p, found.ci95) == (None, None)
    assert found.reason == "vendorB has a single diseased test patient"


def test_no_p_is_given_where_there_are_too_few_patients():
    found = compare_rankings({"vendorA": rankings(1)}, "too few")
    assert (found.p, found.reason) == (None, "too few")
    assert found.ci95 == compare_rankings({"vendorA": rankings(1)}, "").ci95
