from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_data import SHAPE, Heart, make_acdc, write_nifti

from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case, Frame
from fedcmr.data.nifti import read_mask, read_pair
from fedcmr.data.preparing import SPACING_MM, Geometry, Preprocessing, prepare, rescale
from fedcmr.data.resampling import resample

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def case(tmp_path) -> Case:
    return read_acdc(make_acdc(tmp_path, ["NOR"]))[0]


def wide_case(folder: Path) -> Case:
    """A study wider than the window, 300 x 240 mm, with its heart 60 mm from the middle."""
    heart = Heart(shape=(100, 80, 6), centre=(68.0, 52.0))
    frames = []
    for phase in ("ED", "ES"):
        image, mask = heart.frame(phase)
        write_nifti(folder / f"{phase}.nii.gz", image)
        write_nifti(folder / f"{phase}_gt.nii.gz", mask)
        frames.append(Frame(folder / f"{phase}.nii.gz", folder / f"{phase}_gt.nii.gz", None))
    return Case("wide", "vendorA", "NOR", frames[0], frames[1], "training", heart.labels, "acdc")


def test_a_small_image_keeps_its_size_at_1_x_1_x_10_mm_and_spans_all_grey_values(case):
    volume, geometry = prepare(case, Preprocessing())
    assert volume.shape == (2, 120, 108, 5)  # 40 x 36 voxels of 3 mm
    assert volume.dtype == torch.uint8
    for frame in volume:
        assert (int(frame.min()), int(frame.max())) == (0, 255)
    assert geometry == Geometry(36, 40, 5, 3.0, 10.0, float(Heart(seed=1).frame("ED")[0].max()))


def test_grey_values_are_the_clipped_and_stretched_intensities_of_each_frame(case):
    volume, _ = prepare(case, Preprocessing())
    for frame, picture in zip(volume, read_pair(case), strict=True):
        raw = resample(picture.voxels, picture.spacing_mm, SPACING_MM).numpy().astype(np.float64)
        low, high = np.percentile(raw, [0.95, 99.5])
        expected = (raw.clip(low, high) - low) / (high - low) * 255
        assert np.abs(frame.numpy() - np.floor(expected)).max() <= 1


def test_the_window_holds_the_heart_wherever_the_crop_comes_from(tmp_path):
    case = wide_case(tmp_path)
    by_image, _ = prepare(case, Preprocessing())
    by_mask, _ = prepare(case, Preprocessing(crop="mask"))
    assert by_image.shape == by_mask.shape == (2, 192, 192, 6)
    # LV at ED spans x 204 +- 20, y 156 +- 20 mm; the image is 300 x 240: the window by mask is x 108..., y 48...
    window = resample(read_pair(case)[0].voxels, (3.0, 3.0, 10.0), SPACING_MM)[108:300, 48:240]
    assert torch.equal(by_mask[0], (rescale(window, "wide") * 255).to(torch.uint8))


def test_without_masks_the_volume_is_the_same(case):
    before, _ = prepare(case, Preprocessing())
    for frame in (case.ed, case.es):
        frame.mask.unlink()
    after, _ = prepare(case, Preprocessing())
    assert torch.equal(before, after)


def test_blanking_the_heart_leaves_the_rest(tmp_path):
    case = wide_case(tmp_path)
    plain, _ = prepare(case, Preprocessing())
    blank, _ = prepare(case, Preprocessing(blank="heart"))
    gone = (blank == 0) & (plain > 0)
    assert torch.equal(torch.where(gone, plain, blank), plain)
    across = (blank[0] == 0).all(-1).sum()
    assert int(across) == pytest.approx(np.pi * 90**2, rel=0.02)


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match=r"data\.crop=middle; expected one of image, mask"):
        Preprocessing(crop="middle")
    with pytest.raises(ValueError, match=r"data\.blank=lungs; expected one of none, heart"):
        Preprocessing(blank="lungs")


def test_the_key_tells_preparations_apart():
    keys = {Preprocessing(crop, blank).key() for crop in ("image", "mask") for blank in ("none", "heart")}
    assert len(keys) == 4


def test_an_image_without_contrast_is_refused(tmp_path, case):
    voxels = np.zeros(SHAPE, dtype=np.int16)
    voxels[0, 0, 0] = 1
    write_nifti(case.ed.image, voxels, unit_affine=True)
    with pytest.raises(ValueError, match=r"Case patient001: percentiles 0\.95 and 99\.5 of a frame are both 0"):
        prepare(case, Preprocessing())


def test_a_crop_by_mask_without_masks_is_refused(case):
    with pytest.raises(ValueError, match="found no mask"):
        prepare(replace(case, ed=replace(case.ed, mask=None)), Preprocessing(crop="mask"))


@pytest.mark.parametrize(
    ("code", "size"), [("H1N8S6", (192, 192, 10)), ("G1K1V3", (192, 192, 11)), ("G8R0Z9", (192, 192, 11))]
)
def test_real_files_of_two_vendors_are_prepared(code, size):
    folder = SHARED / "mnms_sample" / code
    if not folder.is_dir():
        pytest.skip("unproved: the M&Ms sample is not beside the repository")
    ed, es = (Frame(folder / f"{code}_sa_{phase}.nii.gz", None, None) for phase in ("ED", "ES"))
    volume, _ = prepare(Case(code, "vendorA", "", ed, es, "testing", (3, 2, 1), "mnms"), Preprocessing())
    assert tuple(volume.shape[1:]) == size


def test_real_ventricles_have_the_volumes_of_their_groups():
    root = SHARED / "acdc"
    if not (root / "training").is_dir():
        pytest.skip("unproved: the real ACDC training patients are not beside the repository")
    fractions = {"NOR": [], "DCM": []}
    for case in read_acdc(root)[0:20:4] + read_acdc(root)[60:80:4]:
        ed, es = read_pair(case)
        end_diastolic, end_systolic = (
            float((read_mask(frame, picture) == 3).sum()) for frame, picture in ((case.ed, ed), (case.es, es))
        )
        fractions[case.group].append(1 - end_systolic / end_diastolic)
    # the masks of all 20 of each group: NOR 60 +- 5 %, DCM 18 +- 6 %
    assert 0.5 < np.mean(fractions["NOR"]) < 0.7
    assert 0.08 < np.mean(fractions["DCM"]) < 0.28
