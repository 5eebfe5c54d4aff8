import csv
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from fedcmr.data.phantom import RANDOMISED_VERSION, Knobs, build, cohort_folder, cohort_key, cohorts, main
from fedcmr.data.phantoms.anatomy import GROUPS, Person
from fedcmr.data.phantoms.cohort import OPEN_MNMS
from fedcmr.data.phantoms.look import realistic_look
from fedcmr.data.phantoms.planes import draw_axes, patient_points
from fedcmr.data.phantoms.randomised import EF, RV_EF, RV_PER_LV, draw_any_person, draw_any_shape, draw_any_targets
from fedcmr.data.phantoms.randomised_scan import (
    BRIGHT_BLOOD_SHARE,
    LARGEST_SHIFT_MM,
    PHYSICAL_SHARE,
    draw_any_acquisition,
    draw_any_look,
)
from fedcmr.data.phantoms.render import masks
from fedcmr.data.phantoms.scanner import PROFILES, VENDOR_NAMES
from fedcmr.data.phantoms.solving import solve
from fedcmr.data.phantoms.subject import draw_subject
from fedcmr.data.phantoms.tissues import tissue_signals
from fedcmr.data.phantoms.writing import write_patient

WIDE = Knobs(style="randomised", scale=60, frames=2, test_per_vendor=0)


def targets(number: int):
    rng = np.random.default_rng(0)
    person = Person("M", 50, 175, 75)
    return [draw_any_targets(rng, GROUPS[i % len(GROUPS)], person) for i in range(number)]


def scans(number: int):
    rng = np.random.default_rng(1)
    return [draw_any_acquisition(rng, "ABCD"[i % 4], 90.0, 264) for i in range(number)]


def looks(number: int):
    rng = np.random.default_rng(2)
    return [draw_any_look(rng, scan) for scan in scans(number)]


@pytest.fixture(scope="module")
def made():
    return build(WIDE, progress=lambda done, total: None, workers=1)


def test_realistic_keys_do_not_know_that_there_is_another_style():
    # recorded before the randomised style existed: cohorts in users' caches stay valid
    assert cohort_key(Knobs(), "training") == "a139b17b61b04753"
    assert cohort_key(Knobs(), "testing") == "732224658c6479cd"


def test_realistic_voxels_and_masks_are_those_of_before(tmp_path):
    # recorded before the randomised style existed
    patient = cohorts(Knobs(scale=30, test_per_vendor=4, frames=6))["testing"][5]
    write_patient(patient, tmp_path)
    place = tmp_path / "Testing" / patient.code
    image = np.asarray(nib.load(place / f"{patient.code}_sa.nii.gz").dataobj, dtype=np.float64)
    mask = np.asarray(nib.load(place / f"{patient.code}_sa_gt.nii.gz").dataobj)
    assert patient.code == "D8P8M9"
    assert image.mean() == pytest.approx(45.69659, rel=1e-5)
    assert image.std() == pytest.approx(51.27380, rel=1e-5)
    np.testing.assert_allclose(np.bincount(mask.ravel())[1:], [10799, 9380, 9770], atol=2)


def test_the_randomised_style_draws_what_its_version_drew(made):
    # recorded from version "1": weights were learned from these voxels, so raise the version and record anew
    case = made[0]
    voxels = np.asarray(nib.load(case.ed.image).dataobj, dtype=np.float64)
    assert (RANDOMISED_VERSION, case.id, voxels.shape) == ("1", "B1E1U6", (168, 152, 14, 2))
    assert (voxels.mean(), voxels.std()) == pytest.approx((32.0361, 51.8859), rel=1e-4)


def test_the_styles_have_keys_of_their_own_in_both_parts():
    for part in ("training", "testing"):
        assert cohort_key(Knobs(), part) != cohort_key(Knobs(style="randomised"), part)


def test_no_test_part_is_made_where_none_is_asked_for(made):
    assert list(cohorts(WIDE)) == ["training"]
    assert {case.part for case in made} == {"training"}
    assert len(made) == 16


def test_two_frames_are_end_diastole_and_end_systole(made):
    for case in made:
        assert nib.load(case.ed.image).shape[3] == 2
        assert (case.ed.index, case.es.index) == (0, 1)


@pytest.mark.parametrize("knob", ["acquisition_shift", "case_mix_shift"])
def test_a_shift_without_effect_is_refused(knob):
    with pytest.raises(ValueError, match=f"data.{knob}=0.5 has no effect"):
        Knobs(style="randomised", **{knob: 0.5})


def test_masks_lie_where_the_file_says_and_hold_the_true_heart(made):
    with (cohort_folder(WIDE, "training") / "truth.csv").open() as handle:
        truth = {row["code"]: row for row in csv.DictReader(handle)}
    measured = []
    for case in made:
        mask = nib.load(case.ed.mask)
        ml = np.prod(mask.header.get_zooms()[:3]) / 1000
        volume = np.asarray(mask.dataobj[..., 0])
        if not ((volume[:, :, 0] > 0).any() or (volume[:, :, -1] > 0).any()):  # the stack holds all of the heart
            row = truth[case.id]
            measured.append(((volume == 1).sum() * ml / float(row["lv_edv_ml"]), (volume == 3).sum() * ml))
            assert measured[-1][1] == pytest.approx(float(row["rv_edv_ml"]), rel=0.3)
    assert len(measured) >= 3
    assert np.mean([ratio for ratio, _ in measured]) == pytest.approx(1, abs=0.08)


def test_turning_the_stored_order_moves_no_voxel_in_the_patient(tmp_path, monkeypatch):
    patient = cohorts(WIDE)["training"][0]
    subject = draw_subject(patient)
    stored = {}
    for mirrored, base_first in ((False, False), (True, True), (True, False)):
        turned = replace(subject, scan=replace(subject.scan, mirrored=mirrored, base_first=base_first))
        monkeypatch.setattr("fedcmr.data.phantoms.writing.draw_subject", lambda _, turned=turned: turned)
        folder = tmp_path / f"{mirrored}{base_first}"
        write_patient(patient, folder)
        place = folder / "Training" / "Labeled" / patient.code
        stored[mirrored, base_first] = [nib.load(f) for f in sorted(place.iterdir())]
    for files in stored.values():
        for file, plain in zip(files, stored[False, False], strict=True):
            there, here = (nib.as_closest_canonical(f) for f in (file, plain))
            np.testing.assert_allclose(there.affine, here.affine, atol=1e-3)
            np.testing.assert_array_equal(there.dataobj, here.dataobj)
    first = [np.asarray(stored[order][0].dataobj) for order in ((False, False), (True, True))]
    np.testing.assert_array_equal(first[1], first[0][::-1, :, ::-1])
    handed = {order: np.linalg.det(files[0].affine[:3, :3]) > 0 for order, files in stored.items()}
    assert handed == {(False, False): True, (True, True): True, (True, False): False}


def test_a_shifted_slice_takes_chest_heart_and_mask_along():
    subject = draw_subject(cohorts(WIDE)["training"][2])
    slices, pixel = subject.scan.shape[2], subject.scan.profile.pixel_mm
    axes = draw_axes(np.random.default_rng(0), 30.0)
    straight = replace(subject.scan, shifts_mm=())
    # by whole pixels along x: what was at x + 2 is now at x
    moved = replace(subject.scan, shifts_mm=((2 * pixel, 0.0),) * slices)
    before, after = (masks(subject.heart, scan, axes, 0.0) for scan in (straight, moved))
    assert before.any()
    assert (np.roll(before, -2, axis=1) != after).mean() < 1e-4
    chest = [patient_points(scan, axes, subject.heart) for scan in (straight, moved)]
    for one, other in zip(*chest, strict=True):
        np.testing.assert_allclose(one[:, 2:], other[:, :-2], atol=1e-3)


def test_function_says_nothing_of_size_and_every_range_is_filled():
    drawn = targets(600)
    size = np.log([t.edv_ml for t in drawn])
    ef, mass, rv, rv_ef = (np.array([getattr(t, n) for t in drawn]) for n in ("ef", "mass_g", "rv_edv_ml", "rv_ef"))
    for one, other in ((size, ef), (size, rv_ef), (ef, mass), (ef, rv), (ef, rv_ef)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.12
    for values, (low, high) in ((ef, EF), (rv_ef, RV_EF)):
        assert np.histogram(100 * values, 5, (low, high))[0].min() > 80
        assert values.min() >= low / 100
        assert values.max() <= high / 100
    ratio = rv / np.exp(size)
    assert ratio.min() > 0.99 * RV_PER_LV[0]
    assert ratio.max() < 1.01 * RV_PER_LV[1]
    for group in GROUPS:
        assert np.std([t.ef for t in drawn if t.group == group]) > 0.15


@pytest.mark.parametrize("group", GROUPS)
def test_any_heart_has_what_was_wished(group):
    rng = np.random.default_rng(3)
    for _ in range(3):
        heart = solve(draw_any_shape(rng, draw_any_targets(rng, group, draw_any_person(rng))))
        truth, wished = heart.truth, heart.targets
        assert truth["lv_edv_ml"] == pytest.approx(wished.edv_ml, rel=0.01)
        assert truth["lv_mass_g"] == pytest.approx(wished.mass_g, rel=0.01)
        assert truth["rv_edv_ml"] == pytest.approx(wished.rv_edv_ml, rel=0.01)
        assert (truth["lv_ef"], truth["rv_ef"]) == pytest.approx((wished.ef, wished.rv_ef), abs=0.02)


def test_scans_reach_beyond_every_vendor_and_know_none():
    drawn = scans(400)
    for name in ("pixel_mm", "tr_ms", "flip_deg", "acquired", "noise", "shading", "ghosting", "filter", "gamma"):
        values = [getattr(scan.profile, name) for scan in drawn]
        vendors = [getattr(profile, name) for profile in PROFILES.values()]
        assert min(values) < min(vendors)
        assert max(values) > max(vendors)
    turns = [scan.profile.turn_deg for scan in drawn]
    assert min(turns) < -120
    assert max(turns) > 120
    for vendor in VENDOR_NAMES:
        # one stream gives every vendor the same scan but for the hospital's name
        one, other = (draw_any_acquisition(np.random.default_rng(5), v, 90.0, 264) for v in ("A", vendor))
        assert replace(one, vendor=vendor, centre=other.centre) == other
    assert {(scan.mirrored, scan.base_first) for scan in drawn} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_stacks_are_planned_on_the_heart_and_may_miss_its_ends():
    ends = [(s.first_slice_mm, s.first_slice_mm + (s.shape[2] - 1) * s.profile.spacing_mm) for s in scans(200)]
    assert min(first for first, _ in ends) < -15 < 0 < max(first for first, _ in ends)
    assert min(last for _, last in ends) < 85
    assert max(last for _, last in ends) > 110
    shifts = np.array([shift for scan in scans(200) for shift in scan.shifts_mm])
    assert np.abs(shifts).max() <= LARGEST_SHIFT_MM
    assert np.abs(shifts).max() > 2
    assert all(len(scan.shifts_mm) == scan.shape[2] for scan in scans(50))


def test_the_axis_of_the_heart_stays_five_centimetres_inside_the_picture():
    for scan in scans(300):
        half = [0.5 * size * scan.profile.pixel_mm for size in scan.shape[:2]]
        assert all(abs(away) <= side - 49 for away, side in zip(scan.offset_mm, half, strict=True))


def test_blood_and_muscle_can_be_told_apart_and_blood_is_brighter_more_often_than_not():
    drawn = looks(500)
    blood, muscle = (np.array([look.signals[name] for look in drawn]) for name in ("blood", "myocardium"))
    assert np.mean(np.abs(blood - muscle) > 0.1 * np.maximum(blood, muscle)) > 0.97
    # all of bSSFP's, and the stated share of the others
    brighter = PHYSICAL_SHARE + (1 - PHYSICAL_SHARE) * BRIGHT_BLOOD_SHARE
    assert np.mean(blood > muscle) == pytest.approx(brighter, abs=0.08)


def test_the_stated_share_of_contrasts_is_near_physics():
    near = 0
    for scan, look in zip(scans(300), looks(300), strict=True):
        known = tissue_signals(scan.field_t, scan.profile.tr_ms, scan.profile.flip_deg)
        near += all(abs(look.signals[name] - known[name]) <= 0.31 * abs(known[name]) for name in known)
    assert near / 300 == pytest.approx(PHYSICAL_SHARE, abs=0.1)


def test_the_realistic_look_has_every_factor_at_one():
    look = realistic_look(1.5, PROFILES["A"])
    assert set(look.grain.values()) == {1.0}
    assert (look.right_blood, look.papillary, look.trabeculae, look.right_wall) == (1, 1, 1, 1)
    assert (look.flow, look.effusion_mm, look.clutter) == (0, 0, ())


def test_a_vendor_has_as_many_patients_as_in_the_other_style():
    patients = cohorts(Knobs(style="randomised", scale=5, test_per_vendor=0))["training"]
    assert {v: sum(p.vendor == v for p in patients) for v in OPEN_MNMS} == {"A": 19, "B": 25, "C": 15, "D": 10}


def test_the_montage_command_draws_randomised_hearts(made, tmp_path):
    picture = tmp_path / "montage.png"
    settings = ["data.style=randomised", "data.scale=60", "data.frames=2", "data.test_per_vendor=0"]
    assert main(["--montage", str(picture), *settings]) == 0
    assert picture.stat().st_size > 10_000
