from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_data import make_acdc

from fedcmr.data import twins as module
from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case, Frame
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.twins import compare, correlation, find_twins, fingerprint, have_like_volumes, join_twins
from fedcmr.data.volumes import Volumes

FRAME = Frame(Path("image.nii.gz"), None, None)
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "acdc"


def case(name: str) -> Case:
    return Case(name, "vendorA", "NOR", FRAME, FRAME, "training", (1, 2, 3), "mnms")


def study(seed: int) -> torch.Tensor:
    """A random texture that beats in its middle, (2, 192, 192, 16) in [0, 1] with 9 slices."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 9, 32, 32, generator=random)
    still = torch.nn.functional.interpolate(coarse, size=(192, 192), mode="bilinear")[0].permute(1, 2, 0)
    beat = torch.nn.functional.interpolate(torch.rand(1, 9, 8, 8, generator=random), size=(50, 50))[0].permute(1, 2, 0)
    volume = torch.zeros(2, 192, 192, 16)
    volume[..., :9] = still
    volume[1, 70:120, 70:120, :9] *= beat
    return volume


def test_a_study_moved_mirrored_and_turned_is_its_own_twin_and_another_is_not():
    one = fingerprint(study(0))
    anew = study(0).roll((9, -6), dims=(1, 2)).flip(1).transpose(1, 2)
    assert correlation(one, fingerprint(anew)) > 0.95
    assert correlation(one, fingerprint(study(1))) < 0.5
    assert correlation(one, one) == pytest.approx(1.0, abs=1e-4)


def test_a_study_with_one_slice_less_is_still_found():
    shorter = torch.zeros(2, 192, 192, 16)
    shorter[..., :7] = study(0)[..., 2:9]
    assert correlation(fingerprint(study(0)), fingerprint(shorter)) > 0.95


def test_like_volumes_are_asked_for_first():
    still = study(0)
    still[1] = still[0] * 0.97 + study(0)[1] * 0.03
    assert not have_like_volumes(fingerprint(study(0)), fingerprint(still))
    assert have_like_volumes(fingerprint(study(0)), fingerprint(study(0).flip(1)))


def test_twins_are_listed_by_id_and_an_empty_volume_has_none():
    volumes = [study(0), study(1), study(0).flip(2), torch.zeros(2, 192, 192, 16)]
    ((one, other, r),) = compare("abcd", [fingerprint(volume) for volume in volumes])
    assert (one, other) == ("a", "c")
    assert 0.9 < r <= 1


def test_joined_twins_are_one_patient_over_several_steps():
    joined = join_twins([case(name) for name in "abcde"], [("d", "b", 0.9), ("b", "c", 0.8)])
    assert [one.patient for one in joined] == ["a", "b", "b", "b", "e"]
    assert [one.id for one in joined] == list("abcde")


def test_twins_of_other_cases_are_refused():
    with pytest.raises(ValueError, match="Twins a and z: expected ids of the cases given"):
        join_twins([case("a")], [("a", "z", 0.9)])


def test_a_copy_is_found_without_masks_and_though_the_heart_is_blanked(tmp_path):
    cases = read_acdc(make_acdc(tmp_path / "acdc", ["NOR", "DCM"]))
    for file in tmp_path.rglob("*_gt.nii.gz"):
        file.unlink()
    twin = replace(cases[0], id="copy")
    for blank in ("none", "heart"):
        twins = find_twins([*cases, twin], Volumes(Preprocessing(blank=blank), tmp_path / blank))
        assert ("copy", "patient001", 1.0) in [(one, other, round(r, 5)) for one, other, r in twins]


def test_twins_are_worked_out_once_while_the_files_stay_the_same(tmp_path, monkeypatch):
    cases = read_acdc(make_acdc(tmp_path / "acdc", ["NOR", "DCM"]))
    volumes = Volumes(Preprocessing(), tmp_path / "cache")
    twins = find_twins(cases, volumes)
    (note,) = (tmp_path / "cache" / "twins").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(module, "compare", lambda *_: pytest.fail("the studies were compared again"))
        assert find_twins(cases[::-1], volumes) == twins
    note.write_text("damaged")
    assert find_twins(cases, volumes) == twins


def test_two_codes_of_acdc_are_one_patient(tmp_path):
    if not (REAL / "training").is_dir():
        pytest.skip("unproved: the real ACDC training patients are not beside the repository")
    # equal voxels, height and weight, masks drawn twice
    cases = [case for case in read_acdc(REAL) if case.id in ("patient073", "patient074", "patient075", "patient076")]
    twins = find_twins(cases, Volumes(Preprocessing(), tmp_path))
    assert [(one, other) for one, other, _ in twins] == [("patient074", "patient076")]


def test_every_case_that_cannot_be_read_is_named_and_not_the_first_alone(tmp_path):
    cases = read_acdc(make_acdc(tmp_path / "acdc", ["NOR", "DCM", "RV"]))
    for case in cases[1:]:
        case.es.image.write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 cases cannot be prepared: .*patient002_frame03.*patient003_frame03"):
        find_twins(cases, Volumes(Preprocessing(), tmp_path / "cache"))
