import csv

import nibabel as nib
import numpy as np
import pytest

from fedcmr.data.mnms import TABLE
from fedcmr.data.phantom import GENERATOR, Knobs, build, cohort_folder, cohort_key, cohorts, main
from fedcmr.data.phantoms.subject import draw_subject
from fedcmr.data.phantoms.writing import write_patient

SMALL = Knobs(scale=50, test_per_vendor=4, frames=6)


@pytest.fixture(scope="module")
def made():
    return SMALL, build(SMALL, progress=lambda done, total: None, workers=1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of this test's own."""
    monkeypatch.setenv("FEDCMR_CACHE", str(tmp_path))
    return tmp_path


def test_the_cohort_is_read_by_the_reader_of_mnms(made):
    knobs, cases = made
    assert {case.source for case in cases} == {"phantom"}
    assert {case.client for case in cases} == {"vendorA", "vendorB", "vendorC", "vendorD"}
    assert [case.part for case in cases] == ["training"] * 16 + ["testing"] * 16
    assert len({case.id for case in cases}) == 32
    assert all((cohort_folder(knobs, part) / TABLE).is_file() for part in ("training", "testing"))


def test_every_vendor_has_two_normal_and_two_diseased_in_both_parts(made):
    for part in ("training", "testing"):
        for client in ("vendorA", "vendorB", "vendorC", "vendorD"):
            groups = [c.group for c in made[1] if (c.part, c.client) == (part, client)]
            assert groups.count("NOR") == 2
            assert len(groups) == 4


def test_training_patients_have_a_cine_and_test_patients_two_frames(made):
    for case in made[1]:
        image = nib.load(case.ed.image)
        frames = 6 if case.part == "training" else 2
        assert image.shape[3] == frames
        assert case.ed.index == 0
        assert 1 <= case.es.index < frames
        assert image.get_data_dtype() == np.int16


def test_spacing_stands_in_pixdim_and_in_the_affine_alike_and_the_directions_are_orthonormal(made):
    for case in made[1][:4]:
        image = nib.load(case.ed.image)
        zooms = image.header.get_zooms()[:3]
        steps = image.affine[:3, :3] / zooms
        np.testing.assert_allclose(steps.T @ steps, np.eye(3), atol=1e-5)
        assert np.linalg.det(steps) > 0
        assert zooms[0] == pytest.approx(zooms[1])
        assert 1.1 <= zooms[0] <= 1.9
        assert 8 <= zooms[2] <= 10.5


def test_masks_have_labels_at_ed_and_es_only_and_hold_the_true_volumes(made):
    knobs, cases = made
    with (cohort_folder(knobs, "training") / "truth.csv").open() as handle:
        truth = {row["code"]: row for row in csv.DictReader(handle)}
    for case in [c for c in cases if c.part == "training"][:6]:
        mask = nib.load(case.ed.mask)
        voxels = np.asarray(mask.dataobj)
        labelled = [t for t in range(voxels.shape[3]) if voxels[..., t].any()]
        assert labelled == [0, case.es.index]
        ml = np.prod(mask.header.get_zooms()[:3]) / 1000
        row = truth[case.id]
        # slices of a centimetre measure a cone roughly: half a slice of the base is 5 to 10 ml
        assert (voxels[..., 0] == 1).sum() * ml == pytest.approx(float(row["lv_edv_ml"]), rel=0.15)
        assert (voxels[..., 0] == 2).sum() * ml * 1.05 == pytest.approx(float(row["lv_mass_g"]), rel=0.25)
        assert (voxels[..., 0] == 3).sum() * ml == pytest.approx(float(row["rv_edv_ml"]), rel=0.2)
        assert (voxels[..., case.es.index] == 1).sum() * ml < (voxels[..., 0] == 1).sum() * ml


def test_a_second_build_makes_nothing(made):
    knobs, cases = made
    stamps = {case.ed.image: case.ed.image.stat().st_mtime_ns for case in cases}

    def refuse(done: int, total: int) -> None:
        raise AssertionError("a patient was made again")

    assert build(knobs, progress=refuse) == cases
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())


def test_equal_knobs_give_equal_bytes(made, tmp_path):
    knobs, cases = made
    patient = cohorts(knobs)["testing"][3]
    write_patient(patient, tmp_path)
    before = next(case for case in cases if case.id == patient.code)
    for file in (before.ed.image, before.ed.mask):
        assert (tmp_path / "Testing" / patient.code / file.name).read_bytes() == file.read_bytes()


def test_a_damaged_cohort_names_its_folder_and_the_remedy(cache):
    cohort_folder(SMALL, "training").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"training-.*delete the folder"):
        build(SMALL)


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path, monkeypatch):
    knobs, cases = Knobs(scale=50, test_per_vendor=6, frames=6), {}
    for workers in (1, 2):
        monkeypatch.setenv("FEDCMR_CACHE", str(tmp_path / str(workers)))
        cases[workers] = build(knobs, progress=lambda done, total: None, workers=workers)
    assert [case.id for case in cases[2]] == [case.id for case in cases[1]]
    pairs = zip(cases[2], cases[1], strict=True)
    assert all(two.ed.image.read_bytes() == one.ed.image.read_bytes() for two, one in pairs)


def test_a_cohort_that_died_half_way_leaves_nothing_behind(cache):
    def die(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(SMALL, progress=die, workers=1)
    assert list((cache / "phantom").iterdir()) == []


def test_seeds_below_100_share_a_test_cohort_and_those_from_100_on_another():
    keys = {seed: cohort_key(Knobs(seed=seed), "testing") for seed in (0, 1, 99, 100, 207)}
    assert keys[0] == keys[1] == keys[99] != keys[100] == keys[207]
    assert cohorts(Knobs(seed=3))["testing"] == cohorts(Knobs(seed=8))["testing"]
    assert cohorts(Knobs(seed=3))["testing"] != cohorts(Knobs(seed=103))["testing"]


def test_every_seed_has_its_own_training_cohort_and_vendor_parameters():
    one, other = (cohorts(Knobs(seed=seed))["training"] for seed in (0, 1))
    assert {p.seed for p in one}.isdisjoint({p.seed for p in other})
    assert {p.scanner for p in one}.isdisjoint({p.scanner for p in other})
    assert cohort_key(Knobs(seed=0), "training") != cohort_key(Knobs(seed=1), "training")


@pytest.mark.parametrize(
    ("knob", "value"),
    [
        ("seed", -1),
        ("scale", 0),
        ("scale", float("nan")),
        ("acquisition_shift", -0.1),
        ("case_mix_shift", 1.5),
        ("test_per_vendor", 2),
        ("test_per_vendor", 7),
        ("frames", 3),
        ("frames", 41),
        ("style", "random"),
    ],
)
def test_a_knob_out_of_its_range_is_named(knob, value):
    with pytest.raises(ValueError, match=f"data.{knob}"):
        Knobs(**{knob: value})


def test_a_cache_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEDCMR_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="FEDCMR_CACHE"):
        build(SMALL, progress=lambda done, total: None)


def test_the_montage_command_writes_a_picture(made, tmp_path):
    picture = tmp_path / "montage.png"
    settings = ["data.scale=50", "data.test_per_vendor=4", "data.frames=6"]
    assert main(["--montage", str(picture), *settings]) == 0
    assert picture.stat().st_size > 10_000


def test_the_montage_command_refuses_an_unknown_knob(tmp_path, capsys):
    assert main(["--montage", str(tmp_path / "m.png"), "data.sclae=2"]) == 2
    assert "data.scale" in capsys.readouterr().err


def test_the_generator_draws_what_its_version_drew():
    # recorded from GENERATOR "3": a change here is a change of the cohorts, so raise GENERATOR and record anew
    patient = cohorts(Knobs(seed=0))["testing"][0]
    subject = draw_subject(patient)
    assert (GENERATOR, patient.code, patient.vendor, patient.group) == ("3", "A0S6X3", "D", "ARV")
    assert subject.heart.truth["lv_edv_ml"] == pytest.approx(100.89, rel=1e-3)
    assert subject.scan.shape == (168, 144, 10)


def test_voxels_are_those_of_the_recorded_version(made):
    first = next(case for case in made[1] if case.part == "testing")
    voxels = np.asarray(nib.load(first.ed.image).dataobj[..., 0], dtype=np.float64)
    assert first.id == "A2O9S1"
    assert voxels.mean() == pytest.approx(43.421, rel=5e-3)
    assert voxels.std() == pytest.approx(50.043, rel=5e-3)
