"""Statistics over federations against values worked out by hand, scipy and tables."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcmr.reports.statistics import compare, detectable_difference, estimate, holm


def test_an_interval_is_students():
    # 1 2 3: mean 2, sd 1, t(0.975, 2) = 4.302653
    found = estimate([1.0, 2.0, 3.0])
    assert (found.mean, found.sd, found.n) == (2.0, 1.0, 3)
    assert found.ci95 == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)), abs=1e-6)


def test_one_seed_has_neither_deviation_nor_interval():
    found = estimate([0.7])
    assert (found.mean, found.sd, found.ci95, found.n) == (0.7, None, None, 1)
    assert estimate([None, 0.7]) == found
    assert estimate([None]).mean is None
    assert estimate([]).n == 0


def test_six_wins_of_six_have_the_smallest_p_there_is():
    # only the flips "all plus" and "all minus" are as extreme: 2 / 64
    found = compare([0.8, 0.7, 0.9, 0.75, 0.85, 0.6], [0.7, 0.65, 0.8, 0.7, 0.8, 0.55])
    assert found.p == pytest.approx(2 / 64)
    assert found.difference == pytest.approx((0.1 + 0.05 + 0.1 + 0.05 + 0.05 + 0.05) / 6)
    assert found.reason == ""


def test_a_sign_flip_example_is_counted_by_hand():
    # differences 1 1 1 1 1 −1: |sum| 4 is reached by flips with at most one sign unlike the rest: 2 (1 + 6) of 64
    found = compare([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 1])
    assert found.p == pytest.approx(14 / 64)


def test_equal_methods_have_p_one():
    assert compare([0.7] * 6, [0.7] * 6).p == 1.0


def test_fewer_than_six_pairs_get_no_p_and_a_reason():
    found = compare([0.8, 0.7, 0.9, 0.7, 0.8, None], [0.7, 0.6, 0.8, 0.6, 0.7, 0.7])
    assert found.p is None
    assert found.reason.startswith("5 pairs")
    assert found.difference == pytest.approx(0.1)
    assert found.ci95 is not None


def test_too_many_pairs_are_refused():
    with pytest.raises(ValueError, match="21 pairs"):
        compare([1.0] * 21, [0.0] * 21)


@settings(max_examples=20)
@given(st.lists(st.floats(-1, 1).map(lambda value: round(value, 3)), min_size=6, max_size=8))
def test_the_exact_test_is_scipys(differences):
    ours = compare(differences, [0.0] * len(differences)).p
    # in whole thousandths, so that scipy's sums tie where ours do
    whole = np.round(np.array(differences) * 1000)
    theirs = stats.permutation_test(
        (whole,), lambda x: abs(x.sum()), permutation_type="samples", alternative="greater", n_resamples=np.inf
    ).pvalue
    assert ours == pytest.approx(theirs)


def test_holm_steps_down():
    # .01·3, max(.03, .02·2), max(.04, .03·1)
    assert holm([0.01, 0.03, 0.02]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_tests_that_were_not_made_do_not_count():
    assert holm([None, 0.04, None]) == [None, 0.04, None]
    assert holm([]) == []


def test_the_detectable_difference_has_the_power_that_it_says():
    effect = detectable_difference(1.0, 10)
    samples = np.random.default_rng(0).normal(effect, 1.0, (20_000, 10))
    share = np.mean(stats.ttest_1samp(samples, 0.0, axis=1).pvalue < 0.05)
    assert share == pytest.approx(0.8, abs=0.01)
    assert detectable_difference(0.02, 10) == pytest.approx(0.02 * detectable_difference(1.0, 10))


def test_with_one_pair_nothing_is_detectable():
    assert detectable_difference(0.1, 1) is None
    assert detectable_difference(None, 10) is None


def test_more_federations_detect_smaller_differences():
    found = [detectable_difference(1.0, n) for n in (3, 6, 10, 20)]
    assert found == sorted(found, reverse=True)
