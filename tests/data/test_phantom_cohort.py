import re

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcmr.data.phantoms import cohort
from fedcmr.data.phantoms.cohort import VENDORS, mix, spread, training_cohort


def counts(patients, vendor):
    groups = [p.group for p in patients if p.vendor == vendor]
    return {group: groups.count(group) for group in groups}


def test_default_case_numbers_are_those_of_the_open_mnms_halved():
    patients = training_cohort(0, 2.0, 1.0, 1.0, 12)
    assert [sum(p.vendor == v for p in patients) for v in VENDORS] == [48, 62, 38, 25]


def test_test_patients_are_half_normal_at_every_vendor():
    patients = cohort.testing_cohort(0, 80, 1.0, 1.0)
    for vendor in VENDORS:
        assert counts(patients, vendor)["NOR"] == 40
        assert sum(counts(patients, vendor).values()) == 80


def test_without_case_mix_shift_every_vendor_has_the_same_mix():
    assert len({mix(vendor, 0.0) for vendor in VENDORS}) == 1


@pytest.mark.parametrize("shift", [0.0, 0.5, 1.0])
def test_mixes_sum_to_one(shift):
    for vendor in VENDORS:
        assert sum(mix(vendor, shift)) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [0, 5, 100])
def test_the_vendor_alone_tells_little_about_disease(seed):
    patients = training_cohort(seed, 2.0, 1.0, 1.0, 12)
    share = {v: np.mean([p.group != "NOR" for p in patients if p.vendor == v]) for v in VENDORS}
    truth = [p.group != "NOR" for p in patients]
    assert roc_auc_score(truth, [share[p.vendor] for p in patients]) <= 0.65


def test_small_cohorts_keep_two_normal_and_two_diseased():
    for number in range(4, 12):
        groups = spread(number, mix("D", 1.0))
        assert len(groups) == number
        assert groups.count("NOR") >= 2
        assert number - groups.count("NOR") >= 2


def test_codes_are_unique_in_both_cohorts_together_and_have_the_form_of_mnms():
    codes = [p.code for p in training_cohort(0, 2.0, 1.0, 1.0, 12) + cohort.testing_cohort(0, 80, 1.0, 1.0)]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"([A-Z][0-9]){3}", code) for code in codes)


def test_the_order_of_patients_says_nothing_about_vendor_or_group():
    patients = training_cohort(0, 2.0, 1.0, 1.0, 12)
    place = np.arange(len(patients))
    for vendor in VENDORS:
        assert 0.25 < roc_auc_score([p.vendor == vendor for p in patients], place) < 0.75
    assert 0.35 < roc_auc_score([p.group == "NOR" for p in patients], place) < 0.65


def test_the_case_mix_knob_leaves_scanners_as_they_are_and_the_acquisition_knob_leaves_diagnoses():
    plain, mixed, shifted = (training_cohort(0, 2.0, a, c, 12) for a, c in ((0.5, 0.0), (0.5, 1.0), (1.0, 0.0)))
    assert [p.scanner for p in plain] == [p.scanner for p in mixed]
    assert [(p.code, p.group, p.seed) for p in plain] == [(p.code, p.group, p.seed) for p in shifted]
    assert [p.group for p in plain] != [p.group for p in mixed]
    assert [p.scanner for p in plain] != [p.scanner for p in shifted]


def test_without_acquisition_shift_all_vendors_draw_from_one_distribution():
    assert len({p.scanner for p in training_cohort(7, 2.0, 0.0, 1.0, 12)}) == 1
