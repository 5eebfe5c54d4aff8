from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcmr.data.cases import Case, Frame
from fedcmr.data.splits import default_split, divide_into_sites, single_class, split_cases

FRAME = Frame(Path("image.nii.gz"), None, None)


def case(name: str, client: str = "vendorA", group: str = "NOR", part: str = "training", patient: str = "") -> Case:
    return Case(name, client, group, FRAME, FRAME, part, (1, 2, 3), "mnms", patient=patient)


def label(one: Case) -> str:
    return "NOR" if one.group == "NOR" else "disease"


def cohort(count: int = 40, clients: tuple[str, ...] = ("vendorA", "vendorB"), part: str = "training") -> list[Case]:
    return [case(f"{c}-{part}-{i:03d}", c, ("NOR", "DCM")[i % 2], part) for c in clients for i in range(count)]


def sides(splits) -> dict[str, str]:
    """case id -> side, over all clients of one fold."""
    return {
        one.id: side for split in splits.values() for side in ("train", "val", "test") for one in getattr(split, side)
    }


codes = st.lists(st.text("ABCDEF0123456789", min_size=4, max_size=6), min_size=12, max_size=60, unique=True)


@given(codes, st.integers(0, 5))
def test_each_patient_is_tested_once_and_never_trained_on_in_that_fold(names, seed):
    cases = [case(name, group=("NOR", "DCM")[i % 2]) for i, name in enumerate(names)]
    folds = split_cases(cases, "folds", 3, seed, label)
    tested = Counter(one.id for fold in folds for one in fold["vendorA"].test)
    assert tested == Counter(names)
    for fold in folds:
        assert sorted(sides(fold)) == sorted(names)


@given(codes, st.text("XYZ", min_size=3, max_size=8), st.integers(0, 5))
def test_a_new_patient_moves_at_most_one_other_across_each_cut(names, newcomer, seed):
    cases = [case(name) for name in names]
    more = [*cases, case(newcomer)]
    for rule, folds, cuts in (("vendor", 1, 2), ("folds", 4, 3)):
        before = [sides(fold) for fold in split_cases(cases, rule, folds, seed, label)]
        after = [sides(fold) for fold in split_cases(more, rule, folds, seed, label)]
        old_fold = {name: i for i, fold in enumerate(before) for name, side in fold.items() if side == "test"}
        new_fold = {name: i for i, fold in enumerate(after) for name, side in fold.items() if side == "test"}
        assert sum(new_fold.get(name) != old_fold[name] for name in old_fold) <= cuts
        if rule == "vendor":
            assert sum(after[0][name] != before[0][name] for name in before[0]) <= cuts
    old_site = {one.id: one.client for one in divide_into_sites(cases, 3, seed)}
    new_site = {one.id: one.client for one in divide_into_sites(more, 3, seed)}
    assert sum(new_site[name] != old_site[name] for name in old_site) <= 2


@given(codes, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_cases_does_not_matter(names, seed, random):
    cases = [case(name, group=("NOR", "DCM")[i % 2]) for i, name in enumerate(names)]
    shuffled = random.sample(cases, len(cases))
    assert split_cases(cases, "vendor", 1, seed, label) == split_cases(shuffled, "vendor", 1, seed, label)


def test_another_seed_divides_otherwise():
    cases = cohort()
    assert split_cases(cases, "vendor", 1, 0, label) != split_cases(cases, "vendor", 1, 1, label)


def test_vendor_divides_60_20_20_inside_client_and_label():
    (splits,) = split_cases(cohort(40), "vendor", 1, 0, label)
    for split in splits.values():
        for side, count in (("train", 12), ("val", 4), ("test", 4)):
            assert Counter(map(label, getattr(split, side))) == {"NOR": count, "disease": count}


def test_official_keeps_test_patients_for_testing_and_divides_the_rest_75_25():
    cases = cohort(40) + cohort(10, part="testing")
    (splits,) = split_cases(cases, "official", 1, 0, label)
    for split in splits.values():
        assert {one.part for one in split.test} == {"testing"}
        assert len(split.test) == 10
        assert {one.part for one in split.train + split.val} == {"training"}
        assert Counter(map(label, split.train)) == {"NOR": 15, "disease": 15}
        assert Counter(map(label, split.val)) == {"NOR": 5, "disease": 5}


def test_an_official_validation_part_validates():
    cases = cohort(8) + cohort(4, part="validation") + cohort(4, part="testing")
    (splits,) = split_cases(cases, "official", 1, 0, label)
    for split in splits.values():
        parts = [{one.part for one in side} for side in (split.train, split.val, split.test)]
        assert parts == [{"training"}, {"validation"}, {"testing"}]


def test_the_official_mnms_split_is_refused_for_vendors_without_labelled_training_patients():
    cases = cohort(8) + [replace(one, group="") for one in cohort(6, ("vendorC",))]
    for part in ("validation", "testing"):
        cases += cohort(6, ("vendorA", "vendorB", "vendorC", "vendorD"), part)
    with pytest.raises(
        ValueError, match=r"vendorC has no labelled patients to train on, vendorD has .*vendorA,vendorB"
    ):
        split_cases(cases, "official", 1, 0, label)
    two = [one for one in cases if one.client in ("vendorA", "vendorB")]
    assert len(split_cases(two, "official", 1, 0, label)) == 1


def test_unlabelled_cases_take_no_part():
    cases = [*cohort(20), case("unlabelled", group="")]
    for fold in split_cases(cases, "folds", 4, 0, label):
        assert "unlabelled" not in sides(fold)


def test_two_studies_of_one_patient_are_on_one_side_also_across_clients():
    cases = cohort(40)
    twins = [replace(cases[3], id="twin", patient=cases[3].id), replace(cases[5], id="far", client="vendorB")]
    twins[1] = replace(twins[1], patient=cases[5].id)
    for rule, folds in (("vendor", 1), ("folds", 5)):
        for fold in split_cases(cases + twins, rule, folds, 0, label):
            where = sides(fold)
            assert where["twin"] == where[cases[3].id]
            assert where["far"] == where[cases[5].id]
    sites = {one.id: one.client for one in divide_into_sites(cases + twins, 3, 0)}
    assert sites["twin"] == sites[cases[3].id]


def test_a_study_in_training_of_an_official_test_patient_is_not_trained_on():
    cases = cohort(40) + cohort(10, part="testing")
    twin = replace(cases[0], id="twin", patient=cases[-1].patient)
    (splits,) = split_cases([*cases, twin], "official", 1, 0, label)
    assert sides(splits)["twin"] == "test"


def test_sites_share_out_every_part_and_group_evenly():
    cases = [replace(one, client="hospital") for one in cohort(60, ("a",)) + cohort(30, ("a",), "testing")]
    counts = Counter((one.client, one.part, one.group) for one in divide_into_sites(cases, 3, 0))
    assert {count for (_, part, _), count in counts.items() if part == "training"} == {10}
    assert {count for (_, part, _), count in counts.items() if part == "testing"} == {5}


def test_adding_the_official_test_part_moves_no_training_patient_to_another_site():
    training = cohort(30, ("hospital",))
    before = divide_into_sites(training, 3, 0)
    after = divide_into_sites(training + cohort(12, ("hospital",), "testing"), 3, 0)
    assert after[: len(before)] == before


@pytest.mark.parametrize("sites", [0, -1, 41])
def test_a_number_of_sites_that_cannot_be_is_refused(sites):
    with pytest.raises(ValueError, match=f"data.sites={sites}; expected 1 to 40"):
        divide_into_sites(cohort(40, ("hospital",)), sites, 0)


def test_a_rule_and_folds_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"data\.split=random; expected one of official, vendor, folds"):
        split_cases(cohort(), "random", 1, 0, label)
    with pytest.raises(ValueError, match=r"data\.split=vendor with data\.folds=5"):
        split_cases(cohort(), "vendor", 5, 0, label)
    with pytest.raises(ValueError, match=r"data\.split=folds with data\.folds=1"):
        split_cases(cohort(), "folds", 1, 0, label)


def test_a_client_without_validation_is_refused():
    with pytest.raises(
        ValueError, match=r"vendorB has no labelled patients to validate and test on.*--clients vendorA"
    ):
        split_cases([*cohort(20, ("vendorA",)), case("alone", "vendorB")], "vendor", 1, 0, label)


def test_a_cohort_without_diagnoses_is_refused():
    with pytest.raises(ValueError, match="No patient has a diagnosis"):
        split_cases([case("p1", group="")], "vendor", 1, 0, label)


def test_a_client_with_one_class_is_reported_not_refused():
    cases = cohort(20, ("vendorA",)) + [case(f"b{i}", "vendorB", "DCM") for i in range(20)]
    splits = split_cases(cases, "folds", 5, 0, label)
    assert single_class(splits, label) == [("vendorB", side, "disease") for side in ("test", "train", "val")]


def test_default_splits_are_official_where_a_test_part_serves_else_five_folds():
    with_test = cohort(4) + cohort(4, part="testing")
    assert default_split("acdc", with_test) == ("official", 1)
    assert default_split("phantom", with_test) == ("official", 1)
    assert default_split("acdc", cohort(4)) == ("folds", 5)
    for name in ("mnms", "mnms2", "vendors"):
        assert default_split(name, with_test) == ("folds", 5)
