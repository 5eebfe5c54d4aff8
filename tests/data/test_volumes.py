import builtins
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_data import Heart, Row, make_acdc, make_acdc_patient, make_mnms
from torch.testing import assert_close

from fedcmr.data import volumes as module
from fedcmr.data.acdc import read_acdc
from fedcmr.data.mnms import read_mnms
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.views import Augmentation, Drawn
from fedcmr.data.volumes import Volumes, apply, augment, finish

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cases(tmp_path):
    return read_acdc(make_acdc(tmp_path / "acdc", ["NOR", "DCM", "RV"]))


def forbid_reading(monkeypatch) -> None:
    monkeypatch.setattr(module, "prepare", lambda *_: pytest.fail("a NIfTI file was prepared again"))
    opened = builtins.open

    def refuse(file, *rest, **options):
        assert ".nii" not in str(file), f"{file} was opened"
        return opened(file, *rest, **options)

    monkeypatch.setattr(builtins, "open", refuse)


def test_a_volume_is_what_the_backbone_takes(tmp_path, cases):
    volume = Volumes(Preprocessing(), tmp_path / "cache")[cases[0]]
    assert volume.shape == (2, 192, 192, 16)
    assert volume.dtype == torch.float32
    assert (float(volume.min()), float(volume.max())) == (0.0, 1.0)
    assert float(volume[:, 120:].sum() + volume[:, :, 108:].sum() + volume[..., 5:].sum()) == 0


def test_more_than_16_slices_keep_the_middle_16():
    prepared = torch.arange(1, 22, dtype=torch.uint8).expand(2, 8, 8, 21)
    found = finish(prepared)[0, 0, 0]
    assert_close(found, torch.arange(16) / 15)  # slices 2 … 17 of 0 … 20


def test_a_second_look_opens_no_nifti_file(tmp_path, cases, monkeypatch):
    first = Volumes(Preprocessing(), tmp_path / "cache")
    before = [(first[case], first.key(case), first.geometry(case)) for case in cases]
    forbid_reading(monkeypatch)
    second = Volumes(Preprocessing(), tmp_path / "cache")
    second.prepare(cases)
    for case, (volume, key, geometry) in zip(cases, before, strict=True):
        assert torch.equal(second[case], volume)
        assert (second.key(case), second.geometry(case)) == (key, geometry)


def test_without_masks_every_volume_is_the_same(tmp_path, cases):
    with_masks = Volumes(Preprocessing(), tmp_path / "one")
    before = [with_masks[case] for case in cases]
    for file in (tmp_path / "acdc").rglob("*_gt.nii.gz"):
        file.unlink()
    without = Volumes(Preprocessing(), tmp_path / "two")
    assert all(torch.equal(without[case], volume) for case, volume in zip(cases, before, strict=True))


def test_a_changed_file_is_read_again_though_its_path_is_the_same(tmp_path, cases):
    volumes = Volumes(Preprocessing(), tmp_path / "cache")
    before, key = volumes[cases[0]], volumes.key(cases[0])
    make_acdc_patient(cases[0].ed.image.parent, heart=Heart(seed=77))
    os.utime(cases[0].ed.image, ns=(1, 1))
    assert not torch.equal(volumes[cases[0]], before)
    assert volumes.key(cases[0]) != key


def test_a_copied_data_set_is_known_by_its_content(tmp_path, cases, monkeypatch):
    volumes = Volumes(Preprocessing(), tmp_path / "cache")
    volumes.prepare(cases)
    shutil.copytree(tmp_path / "acdc", tmp_path / "copy")
    monkeypatch.setattr(module, "prepare", lambda *_: pytest.fail("a NIfTI file was prepared again"))
    for case, copy in zip(cases, read_acdc(tmp_path / "copy"), strict=True):
        assert volumes.key(copy) == volumes.key(case)


def test_a_damaged_entry_is_made_anew(tmp_path, cases):
    volumes = Volumes(Preprocessing(), tmp_path / "cache")
    before = volumes[cases[0]]
    for entry in (tmp_path / "cache" / "volumes").iterdir():
        entry.write_bytes(entry.read_bytes()[:50])
    assert torch.equal(volumes[cases[0]], before)


def test_keys_tell_preprocessings_apart(tmp_path, cases):
    keys = {
        Volumes(Preprocessing(crop, blank), tmp_path).key(cases[0])
        for crop in ("image", "mask")
        for blank in ("none", "heart")
    }
    assert len(keys) == 4


def test_workers_change_no_number_and_progress_counts_to_the_end(tmp_path, cases):
    seen = []
    one, two = Volumes(Preprocessing(), tmp_path / "one"), Volumes(Preprocessing(), tmp_path / "two")
    one.prepare(cases)
    two.prepare(cases, workers=2, progress=lambda done, all_: seen.append((done, all_)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert [one.key(case) for case in cases] == [two.key(case) for case in cases]


def test_all_cases_that_cannot_be_prepared_are_named_and_the_others_kept(tmp_path, cases, monkeypatch):
    for case in cases[1:]:
        case.es.image.write_bytes(b"broken")
    volumes = Volumes(Preprocessing(), tmp_path / "cache")
    with pytest.raises(ValueError, match=r"2 cases cannot be prepared: .*patient002.*patient003"):
        volumes.prepare(cases)
    forbid_reading(monkeypatch)
    assert volumes[cases[0]].shape == (2, 192, 192, 16)


def test_a_cine_is_kept_by_its_frames(tmp_path):
    case = read_mnms(make_mnms(tmp_path / "mnms", [Row("A0S9V9", ed=0, es=2)]))[0]
    other = replace(case, es=replace(case.es, index=1))
    volumes = Volumes(Preprocessing(), tmp_path / "cache")
    assert not torch.equal(volumes[case][1], volumes[other][1])


def test_two_processes_may_prepare_at_once(tmp_path, cases):
    code = (
        "import sys; from pathlib import Path; from fedcmr.data.acdc import read_acdc;"
        "from fedcmr.data.volumes import Volumes, Preprocessing; root = Path(sys.argv[1]);"
        "Volumes(Preprocessing(), root / 'cache').prepare(read_acdc(root / 'acdc'))"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(2)]
    assert [run.wait(60) for run in runs] == [0, 0]
    assert not list((tmp_path / "cache").rglob("*.part"))
    assert len(list((tmp_path / "cache" / "volumes").iterdir())) == 3


def test_nothing_is_written_before_the_first_use(tmp_path):
    Volumes(Preprocessing(), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_view_0_and_no_augmentation_are_the_volume_itself(tmp_path, cases):
    volume = Volumes(Preprocessing(), tmp_path / "cache")[cases[0]]
    assert augment(volume, "p1", 0, 0, Augmentation(contrast=1, noise=1, affine=1)) is volume
    assert augment(volume, "p1", 1, 0, Augmentation()) is volume


def test_a_view_repeats_and_differs_from_other_views_cases_and_seeds(tmp_path, cases):
    volume = Volumes(Preprocessing(), tmp_path / "cache")[cases[0]]
    knobs = Augmentation(contrast=1, noise=1, affine=1)
    view = augment(volume, "p1", 1, 0, knobs)
    assert torch.equal(view, augment(volume, "p1", 1, 0, knobs))
    for other in (("p1", 2, 0), ("p2", 1, 0), ("p1", 1, 1)):
        assert not torch.equal(view, augment(volume, *other, knobs))
    assert view.shape == volume.shape
    assert type(view) is torch.Tensor
    assert 0 <= float(view.min()) <= float(view.max()) <= 1
    assert float(view[..., 5:].sum()) == 0  # slices that fill the volume up stay empty


def test_contrast_is_a_power_and_nothing_else_moves():
    volume = torch.rand(2, 8, 8, 4, generator=torch.Generator().manual_seed(0))
    low, high = volume.min(), volume.max()
    expected = ((volume - low) / (high - low)) ** 1.5 * (high - low) + low
    assert_close(apply(volume, Drawn(gamma=1.5)), expected, rtol=1e-4, atol=1e-5)


def test_a_shift_moves_voxels_by_whole_pixels_and_brings_in_zeros():
    volume = torch.zeros(2, 9, 9, 2)
    volume[:, 4, 4] = 1
    moved = apply(volume, Drawn(across_mm=2.0, along_mm=-1.0))
    assert_close(moved.sum(), volume.sum())
    place = moved[0, :, :, 0].nonzero()[0].tolist()
    assert [abs(place[0] - 4), abs(place[1] - 4)] == [2, 1]


def test_both_axes_are_scaled_by_one_factor():
    volume = torch.zeros(2, 41, 41, 2)
    volume[:, 14:27, 14:27] = 1
    zoomed = apply(volume, Drawn(zoom=1.3))[0, :, :, 0] > 0.5
    assert zoomed.any(1).sum() == zoomed.any(0).sum() != 13


def test_an_empty_volume_stays_empty():
    assert float(apply(torch.zeros(2, 6, 6, 2), Drawn(gamma=1.2, noise_std=0.1)).sum()) == 0
