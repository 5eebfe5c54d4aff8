"""Comparisons over patients against values worked out by hand, brute force, scipy and simulation."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fedcmr.messages import Prediction
from fedcmr.reports.cells import HEADINGS, caption, cells
from fedcmr.reports.comparing import Repeats, comparison_table, unit_of
from fedcmr.reports.journal import Reported
from fedcmr.reports.patientwise import (
    AUROC,
    BALANCED,
    SENSITIVITY,
    SPECIFICITY,
    TESTS,
    Judged,
    compare_hits,
    compare_patients,
    compare_runs,
    judge,
    mcnemar,
)

Told = tuple[str, str, int, float]


def said(client: str, patient: str, label: int, p: float, **other) -> Reported:
    view, fold, round = other.get("view", "personal"), other.get("fold", 0), other.get("round", "last")
    return Reported(Prediction(client, patient, "test", view, label, (1 - p, p)), fold, round, int(p >= 0.5))


def runs(*each: Sequence[Reported], thresholds: Sequence[float] = (0.5,)) -> Repeats:
    """One algorithm; one list of rows for each seed."""
    return Repeats("made", [{"threshold": {"last": list(thresholds)}}] * len(each), [1.0] * len(each), (), each)


def judged(sick: Sequence[int], margins: Sequence[float], clients: Sequence[str] = ()) -> Judged:
    """Patients of one client, or of these, with their margins as scores."""
    keys = [(client, f"{place:03d}") for place, client in enumerate(clients or ["vendorA"] * len(sick))]
    return Judged(keys, np.array(sick) > 0, np.array(margins, float), np.array(margins, float))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


# judging


def test_seeds_are_averaged_in_the_logit_and_not_by_their_votes():
    # two of three seeds call A0 diseased: 2 logit 0.6 + logit 0.01 = 0.81 − 4.60 < 0
    found = judge(runs(*([said("vendorA", "A0", 1, p)] for p in (0.6, 0.6, 0.01))))
    assert found.scores == pytest.approx([(2 * logit(0.6) + logit(0.01)) / 3])
    assert found.hits.tolist() == [False]
    # 0.9 and 0.2: ln 9 − ln 4 > 0
    assert judge(runs(*([said("vendorA", "A0", 1, p)] for p in (0.9, 0.2)))).hits.tolist() == [True]


def test_each_fold_has_its_own_threshold():
    rows = [said("vendorA", "A0", 1, 0.3), said("vendorA", "A1", 1, 0.3, fold=1), said("vendorA", "A2", 0, 0.2, fold=1)]
    found = judge(runs(rows, thresholds=(0.5, 0.2)))
    assert found.hits.tolist() == [False, True, False], "at its threshold a patient is called diseased"
    assert found.margins == pytest.approx([logit(0.3), logit(0.3) - logit(0.2), 0])
    assert found.scores == pytest.approx([logit(0.3), logit(0.3), logit(0.2)])
    with pytest.raises(ValueError, match=r"threshold.last is \[0.5\]; expected one for fold 1"):
        judge(runs(rows))


def test_a_certain_model_has_a_finite_margin():
    found = judge(runs([said("vendorA", "A0", 1, 1.0), said("vendorA", "A1", 0, 0.0)]))
    assert found.margins == pytest.approx([logit(1 - 1e-6), logit(1e-6)])


def test_only_the_last_round_in_the_personal_view_counts():
    kept = said("vendorA", "A0", 1, 0.8)
    others = [said("vendorA", "A0", 1, 0.1, view="global"), said("vendorA", "A1", 1, 0.1, round="chosen")]
    found = judge(runs([others[0], kept, others[1]]))
    assert found.keys == [("vendorA", "A0")]
    assert found.scores == pytest.approx([logit(0.8)])
    with pytest.raises(ValueError, match="No test patient"):
        judge(runs(others))


def test_a_patient_is_predicted_once_in_each_run():
    one, two = said("vendorA", "A0", 1, 0.8), said("vendorA", "A1", 0, 0.3)
    with pytest.raises(ValueError, match="vendorA, patient A1: predicted in 1 of 2 runs"):
        judge(runs([one, two], [one]))
    with pytest.raises(ValueError, match="patient A0: predicted twice"):
        judge(runs([one, one], [two, two]))
    with pytest.raises(ValueError, match="always with the same label"):
        judge(runs([one], [said("vendorA", "A0", 0, 0.8)]))


# pairing


def crowd(seed: int, count: int = 60) -> list[Told]:
    """Three clients with the same patient codes, p about 0.3 where healthy and 0.7 where diseased."""
    random = np.random.default_rng(seed)
    found = []
    for place in range(count):
        label = place % 2
        p = 1 / (1 + math.exp(-random.normal(1.7 * label - 0.85, 1.2)))
        found.append((f"vendor{'ABC'[place % 3]}", f"{place // 3:02d}", label, p))
    return found


def test_patients_are_paired_by_their_key_and_not_by_their_order():
    ours, theirs = [said(*one) for one in crowd(1)], [said(*one) for one in crowd(2)]
    expected = compare_runs(runs(ours), runs(theirs))
    assert any(found.difference for found in expected.values())
    assert compare_runs(runs(ours[::-1]), runs(theirs)) == expected
    assert compare_runs(runs(ours), runs(theirs[7:] + theirs[:7])) == expected


def test_algorithms_that_judged_other_patients_cannot_be_paired():
    rows = [said(*one) for one in crowd(1)]
    with pytest.raises(ValueError, match=r"only one judged \('vendorB', '00'\)"):
        compare_runs(runs(rows), runs([rows[0], *rows[2:]]))
    other = replace(rows[1].prediction, label=0)
    with pytest.raises(ValueError, match="their labels differ"):
        compare_runs(runs(rows), runs([rows[0], replace(rows[1], prediction=other), *rows[2:]]))


# decisions


def test_balanced_accuracy_is_a_mean_over_the_clients_with_both_classes():
    # vendorA: healthy 1 of 2 gained (½), diseased 1 of 4 lost (−¼): (½ − ¼) / 2 = ⅛; vendorB: nothing; vendorC: no NOR
    clients = ["vendorA"] * 6 + ["vendorB"] * 4 + ["vendorC"] * 2
    sick = [*(0, 0, 1, 1, 1, 1), *(0, 0, 1, 1), *(1, 1)]
    ours = [*(-1, 1, -1, 1, 1, 1), *(-1, 1, 1, 1), *(1, 1)]
    theirs = [*(1, 1, 1, 1, 1, 1), *(-1, 1, 1, 1), *(-1, -1)]
    found = compare_patients(judged(sick, ours, clients), judged(sick, theirs, clients))
    assert found[BALANCED].difference == pytest.approx(1 / 16)
    assert found[BALANCED].n == 10
    assert found[BALANCED].p is None
    # of all patients as one: 1 of 4 healthy gained; of 8 diseased 1 lost, 2 of vendorC gained
    assert (found[SPECIFICITY].difference, found[SPECIFICITY].n) == (1 / 4, 4)
    assert (found[SENSITIVITY].difference, found[SENSITIVITY].n) == (1 / 8, 8)


def test_the_interval_is_that_of_drawing_patients_within_client_and_label():
    random = np.random.default_rng(3)
    clients = [(random.choice([1, 0, 0, -1], size=n), np.arange(n) < n // 3) for n in (30, 54)]
    low, high = compare_hits(clients, "").ci95
    drawn = [
        np.mean([random.choice(g[s == label], (s == label).sum()).mean() for g, s in clients for label in (0, 1)])
        for _ in range(4000)
    ]
    expected = np.percentile(drawn, (2.5, 97.5))
    assert (low, high) == pytest.approx(tuple(expected), abs=0.05 * (expected[1] - expected[0]))
    assert compare_hits(clients, "") == compare_hits(clients, ""), "the draws are always the same"


def test_differences_between_clients_and_labels_are_no_chance():
    # the one client gains all, the other loses all: nothing varies within either
    sick = np.array([True] * 20 + [False] * 20)
    found = compare_hits([(np.ones(40, int), sick), (-np.ones(40, int), sick)], "")
    assert (found.difference, found.ci95) == (pytest.approx(0), pytest.approx((0, 0)))
    found = compare_hits([(np.where(sick, 1, -1), sick)], "")
    assert (found.difference, found.ci95) == (pytest.approx(0), pytest.approx((0, 0)))


def test_a_single_patient_of_a_class_leaves_no_interval():
    sick = [0, *[1] * 15, *[0, 1] * 10]
    clients = ["vendorA"] * 16 + ["vendorB"] * 20
    random = np.random.default_rng(0)
    one, two = (judged(sick, random.normal(size=36), clients) for _ in range(2))
    found = compare_patients(one, two)
    assert found[BALANCED].reason == found[AUROC].reason == "vendorA has a single healthy test patient"
    assert found[BALANCED].ci95 is found[AUROC].ci95 is found[AUROC].p is None
    assert None not in (found[BALANCED].difference, found[AUROC].difference, found[SPECIFICITY].p)


def gains(b: int, c: int, n: int) -> np.ndarray:
    return np.array([1] * b + [-1] * c + [0] * (n - b - c))


def test_mcnemar_is_counted_by_hand():
    # 10 discordant, 2 against: 2 (1 + 10 + 45) / 1024
    found = mcnemar(gains(8, 2, 40), "")
    assert found.p == pytest.approx(112 / 1024)
    assert found.difference == pytest.approx(6 / 40)
    # with ½ added to each cell: 6 / 42 ± 1.96 √(11 − 36 / 42) / 42
    half = 1.959964 * math.sqrt(11 - 36 / 42) / 42
    assert found.ci95 == pytest.approx((6 / 42 - half, 6 / 42 + half), abs=1e-6)
    assert mcnemar(gains(2, 8, 40), "").p == found.p
    assert mcnemar(gains(2, 8, 40), "").difference == -found.difference


def test_mcnemar_is_the_sum_of_binomial_probabilities():
    for b in range(9):
        for c in range(9):
            d = b + c
            tail = sum(math.comb(d, k) for k in range(min(b, c) + 1)) / 2**d
            assert mcnemar(gains(b, c, 30), "").p == pytest.approx(min(1.0, 2 * tail)), (b, c)


def test_without_discordant_patients_p_is_one_and_the_interval_has_a_width():
    found = mcnemar(gains(0, 0, 50), "")
    assert (found.difference, found.p) == (0, 1)
    assert found.ci95[1] == -found.ci95[0] == pytest.approx(1.959964 / 52, abs=1e-6)
    assert mcnemar(gains(0, 0, 0), "no patients").difference is None


def test_the_interval_of_a_share_covers_what_it_should():
    random = np.random.default_rng(4)
    counts = random.multinomial(60, (0.2, 0.1, 0.7), size=2000)
    ends = [mcnemar(gains(b, c, 60), "too few").ci95 for b, c, _ in counts]
    assert 0.93 <= np.mean([low <= 0.1 <= high for low, high in ends]) <= 0.975


def test_without_a_client_of_both_classes_nothing_is_compared_over_clients():
    clients = ["vendorA"] * 20 + ["vendorB"] * 20
    sick = [0] * 20 + [1] * 20
    found = compare_patients(judged(sick, [1] * 40, clients), judged(sick, [-1] * 40, clients))
    assert found[BALANCED].difference is found[AUROC].difference is None
    assert found[BALANCED].reason == found[AUROC].reason == "no client has test patients of both classes"
    assert (found[SPECIFICITY].difference, found[SENSITIVITY].difference) == (-1, 1)


# when there is a p


def noisy(count: int, diseased: int) -> tuple[Judged, Judged]:
    random = np.random.default_rng(count)
    sick = [1] * diseased + [0] * (count - diseased)
    one, two = (judged(sick, random.normal(size=count)) for _ in range(2))
    return one, two


def test_below_thirty_patients_there_is_no_p_but_a_reason():
    enough, few = compare_patients(*noisy(30, 15)), compare_patients(*noisy(29, 15))
    for metric in (SPECIFICITY, SENSITIVITY, AUROC):
        assert 0 < enough[metric].p <= 1
        assert enough[metric].reason == ""
        assert few[metric].p is None
        assert few[metric].reason == "29 test patients; no p is given below 30"
        assert few[metric].difference is not None
        assert few[metric].ci95 is not None


def test_below_two_patients_of_a_class_there_is_no_p_but_a_reason():
    assert compare_patients(*noisy(40, 2))[SENSITIVITY].p is not None
    for diseased, reason in ((1, "1 diseased and 39 healthy"), (39, "39 diseased and 1 healthy")):
        found = compare_patients(*noisy(40, diseased))
        assert all(found[metric].p is None for metric in TESTS)
        assert all(reason in found[metric].reason for metric in (SPECIFICITY, SENSITIVITY))
        assert "vendorA has a single" in found[AUROC].reason


def test_more_than_two_classes_are_not_tested():
    def rows(p: float) -> list[Reported]:
        return [Reported(Prediction("vendorA", "A0", "test", "personal", 2, (1 - 2 * p, p, p)), 0, "last", 2)]

    found = compare_runs(runs(rows(0.2)), runs(rows(0.3)))
    assert found.keys() == TESTS.keys()
    assert {(one.p, one.reason) for one in found.values()} == {(None, "3 classes; tests over patients are for two")}


def test_a_model_that_diverged_is_not_tested():
    rows = [said(*one) for one in crowd(1)]
    found = compare_runs(runs([said("vendorA", "00", 0, math.nan), *rows[1:]]), runs(rows))
    assert {(one.p, one.reason) for one in found.values()} == {(None, "probabilities that are not finite")}


@pytest.fixture(scope="module")
def p_under_the_null() -> dict[str, list[float]]:
    """Of 400 data sets, 3 clients x 80 patients, where both algorithms see the same with noise of their own."""
    random = np.random.default_rng(11)
    clients, sick = [f"vendor{'ABC'[place % 3]}" for place in range(240)], (np.arange(240) // 3 % 2).tolist()
    found = {SPECIFICITY: [], SENSITIVITY: [], AUROC: []}
    for _ in range(400):
        seen = random.normal(size=240) + np.array(sick) * 1.2 - 0.6
        one, two = (judged(sick, seen + 2.5 * random.normal(size=240), clients) for _ in range(2))
        for metric, paired in compare_patients(one, two).items():
            if metric in found:
                found[metric].append(paired.p)
    return found


@pytest.mark.parametrize("metric", [SPECIFICITY, SENSITIVITY, AUROC])
def test_equal_algorithms_are_told_apart_in_about_one_of_twenty_data_sets(metric, p_under_the_null):
    assert len(p_under_the_null[metric]) == 400
    assert 0.02 <= np.mean(np.array(p_under_the_null[metric]) < 0.05) <= 0.09


def test_a_better_algorithm_is_found():
    random = np.random.default_rng(12)
    sick = np.arange(120) % 2
    good, bad = (judged(sick.tolist(), (2 * sick - 1) + noise * random.normal(size=120)) for noise in (0.7, 4))
    found = compare_patients(good, bad)
    assert all(found[metric].difference > 0.2 for metric in TESTS)
    assert found[BALANCED].ci95[0] > 0
    assert all(found[metric].p < 0.01 for metric in (SPECIFICITY, SENSITIVITY, AUROC))


# in the table


@pytest.fixture
def real(repeats) -> list[Repeats]:
    """Two seeds of three algorithms on 60 patients; the second is far better, the third is the reference's twin."""
    crowds = {"med_dual_lora": crowd(1), "fedavg_lora": [(*one[:3], 0.1 + 0.8 * one[2]) for one in crowd(1)]}
    return [
        Repeats(
            one.algorithm,
            [{**summary, "data": "mnms", "threshold": {"last": [0.5]}} for summary in one.summaries[:2]],
            one.seconds[:2],
            (),
            [[said(*told) for told in crowds.get(one.algorithm, crowd(1))]] * 2,
        )
        for one in repeats
    ]


def test_real_patients_are_compared_in_each_metric_with_holm_over_the_rows(real):
    table = comparison_table(real, "patients")
    assert (table["unit"], table["primary"], table["detectable_difference"]) == ("patients", None, None)
    none, better, same = (row["versus"] for row in table["rows"])
    assert none == []
    assert [entry["metric"] for entry in better] == [BALANCED, SPECIFICITY, SENSITIVITY, AUROC]
    expected = compare_runs(real[1], real[0])
    for entry in better:
        found = expected[entry["metric"]]
        assert (entry["algorithm"], entry["p"]) == ("med_dual_lora", found.p)
        assert entry["difference"] == found.difference > 0.1
    # the twin's p is 1 in the shares, so two tests; it has none in AUROC, so one
    assert better[1]["p_corrected"] == pytest.approx(2 * better[1]["p"])
    assert better[3]["p_corrected"] == better[3]["p"] < 0.01
    assert [entry["p_corrected"] for entry in same] == [None, 1, 1, None]
    assert better[0]["test"] == "95 % bootstrap interval over 60 patients, no p"
    assert better[1]["test"] == "exact McNemar over 30 healthy patients, Holm"
    assert same[3]["test"] == "no test: the difference of AUROC has no variance"


def test_a_row_prints_its_first_difference_and_its_first_p(real):
    table = comparison_table(real, "patients")
    for row in table["rows"][1:]:
        shown = dict(zip(HEADINGS, cells(row), strict=True))
        assert shown["difference [95 %]"].startswith(f"{row['versus'][0]['difference']:+.3f} [")
        assert shown["p (Holm)"] == f"{row['versus'][1]['p_corrected']:.3f}"
    assert dict(zip(HEADINGS, cells(table["rows"][0]), strict=True))["p (Holm)"] == "-"
    text = "\n".join(caption(table))
    assert "paired by patient" in text
    assert "run over test patients, not over seeds" in text
    assert "p (Holm): of specificity" in text
    assert "federations" not in text


def test_simulated_sites_are_scored_and_not_tested(real):
    table = comparison_table(real, "none")
    assert (table["primary"], table["detectable_difference"]) == (None, None)
    entry, *_ = table["rows"][1]["versus"]
    assert [one["metric"] for one in table["rows"][1]["versus"]] == list(TESTS)
    # of the summaries of seeds 0 and 1: 0.040 and 0.042
    assert entry["difference"] == pytest.approx(0.041)
    for one in (entry for row in table["rows"] for entry in row["versus"]):
        assert (one["ci95"], one["p"], one["p_corrected"], one["test"]) == (
            None,
            None,
            None,
            "no test: simulated sites",
        )
    text = "\n".join(caption(table))
    assert "No test: simulated sites." in text
    assert "run over" not in text
    assert table["controls"]["always_disease"]["accuracy"] == pytest.approx(0.8)


def test_what_a_comparison_runs_over_follows_from_the_data():
    known = {name: unit_of(name) for name in ("phantom", "acdc", "mnms", "mnms2", "vendors")}
    assert known == {
        "phantom": "federations",
        "acdc": "none",
        **dict.fromkeys(("mnms", "mnms2", "vendors"), "patients"),
    }


def test_another_unit_is_refused(real):
    with pytest.raises(ValueError, match="'seeds'; expected one of federations, patients, none"):
        comparison_table(real, "seeds")
