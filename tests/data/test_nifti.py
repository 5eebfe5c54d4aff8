import gzip
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from made_data import SHAPE, SPACING_MM, Heart, Row, make_acdc, make_mnms, write_nifti

from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import Case, Frame
from fedcmr.data.mnms import read_mnms
from fedcmr.data.nifti import read_mask, read_pair, take_frame
from fedcmr.data.unpacking import open_nifti

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnms_sample"


def case_of(file: Path, index: int | None = None) -> Case:
    frame = Frame(file, None, index)
    return Case("p1", "vendorA", "NOR", frame, frame, "training", (1, 2, 3), "mnms")


def test_spacing_is_pixdim_though_the_affine_has_unit_scale(tmp_path):
    case = read_acdc(make_acdc(tmp_path, ["NOR"]))[0]
    assert np.allclose(np.abs(np.diag(nibabel.load(case.ed.image).affine)), 1)
    ed, es = read_pair(case)
    assert ed.spacing_mm == es.spacing_mm == SPACING_MM
    assert torch.equal(ed.voxels, torch.from_numpy(Heart(seed=1).frame("ED")[0]).float())


def test_frames_of_a_cine_are_those_of_the_table(tmp_path):
    case = read_mnms(make_mnms(tmp_path, [Row("A0S9V9", ed=1, es=0)]))[0]
    ed, es = read_pair(case)
    heart = Heart(seed=0)
    assert torch.equal(ed.voxels, torch.from_numpy(heart.frame("ED")[0]).float())
    assert torch.equal(es.voxels, torch.from_numpy(heart.frame("ES")[0]).float())


def test_a_direction_that_is_not_orthonormal_is_accepted(tmp_path):
    affine = np.diag((*SPACING_MM, 1.0))
    affine[0, 1] = 0.4
    image = nibabel.Nifti1Image(Heart().frame("ED")[0], affine)
    image.header["pixdim"][1:4] = SPACING_MM
    image.to_filename(tmp_path / "skew.nii.gz")
    assert read_pair(case_of(tmp_path / "skew.nii.gz"))[0].spacing_mm == SPACING_MM


def test_intensities_are_scaled_by_the_header(tmp_path):
    image = nibabel.Nifti1Image(Heart().frame("ED")[0], np.diag((*SPACING_MM, 1.0)))
    image.header.set_slope_inter(2.0, -5.0)
    image.to_filename(tmp_path / "scaled.nii")
    raw = Heart().frame("ED")[0]
    assert np.allclose(read_pair(case_of(tmp_path / "scaled.nii"))[0].voxels, raw * 2.0 - 5.0)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_file_is_refused_though_the_frame_asked_for_is_whole(tmp_path, suffix, kept):
    random = np.random.default_rng(0)
    file = tmp_path / f"cine{suffix}"
    write_nifti(file, random.integers(0, 999, size=(*SHAPE, 6)).astype(np.int16))
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=r"cine\.nii.*truncated.*Copy it anew"):
        read_pair(case_of(file, 0))


def test_a_compressed_file_in_two_parts_is_read(tmp_path):
    file = tmp_path / "cine.nii.gz"
    voxels = np.random.default_rng(0).integers(0, 999, size=(*SHAPE, 6)).astype(np.int16)
    write_nifti(file, voxels)
    content = gzip.decompress(file.read_bytes())
    file.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    assert torch.equal(take_frame(open_nifti(file, (5,)), file, 5).voxels, torch.from_numpy(voxels[..., 5]).float())


@pytest.mark.parametrize(
    "content", [b"", b"not an image at all", gzip.compress(b"x" * 400, mtime=0), b"\x1f\x8b\x08broken"]
)
def test_a_file_that_is_no_nifti_is_refused(tmp_path, content):
    file = tmp_path / "image.nii.gz"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"image\.nii\.gz: (not a NIfTI file|truncated or damaged|cannot be read)"):
        open_nifti(file)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.nii\.gz: cannot be read"):
        open_nifti(tmp_path / "absent.nii.gz")


@pytest.mark.parametrize(
    ("shape", "index", "message"),
    [
        ((8, 8), None, r"shape \(8, 8\); expected 3-D"),
        ((8, 8, 1), None, r"shape \(8, 8, 1\); expected 3-D .* two or more slices"),
        ((8, 8, 4, 6), None, r"expected 3-D .*one frame of the cine as its own file"),
        ((8, 8, 4), 0, r"shape \(8, 8, 4\); expected 4-D"),
        ((8, 8, 4, 2, 3), 0, "expected 4-D"),
        ((8, 8, 4, 6), 6, "frame 6 is out of range; the file has frames 0 to 5"),
    ],
)
def test_an_image_of_other_axes_is_refused(tmp_path, shape, index, message):
    file = tmp_path / "image.nii.gz"
    image = nibabel.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), np.diag((2, 2, 10, 1)))
    image.to_filename(file)
    with pytest.raises(ValueError, match=message):
        take_frame(open_nifti(file), file, index)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_counted_and_refused(tmp_path, value):
    voxels = Heart().frame("ED")[0].astype(np.float32)
    voxels[1, 2, 3] = value
    write_nifti(tmp_path / "image.nii.gz", voxels)
    with pytest.raises(ValueError, match="1 voxels are NaN or infinite"):
        read_pair(case_of(tmp_path / "image.nii.gz"))


def test_a_constant_image_is_refused(tmp_path):
    write_nifti(tmp_path / "image.nii.gz", np.full(SHAPE, 7, dtype=np.int16))
    with pytest.raises(ValueError, match="every voxel is 7"):
        read_pair(case_of(tmp_path / "image.nii.gz"))


def test_a_spacing_that_is_no_length_is_refused(tmp_path):
    write_nifti(tmp_path / "image.nii.gz", Heart().frame("ED")[0], (0.001, 0.001, 0.01))
    with pytest.raises(ValueError, match=r"pixdim along x is 0.001 mm; expected 0.2 to 5"):
        read_pair(case_of(tmp_path / "image.nii.gz"))


@pytest.mark.parametrize("lengths", [(0, 3, 10), (3, np.nan, 10), (3, 3, np.inf), (3, 3, 0)])
def test_a_spacing_that_says_nothing_is_refused_and_not_made_up(tmp_path, lengths):
    image = nibabel.Nifti1Image(Heart().frame("ED")[0], np.diag((*SPACING_MM, 1.0)))
    image.header["pixdim"][1:4] = lengths
    image.header["vox_offset"] = 352  # nibabel would put it there on writing, and 1 mm in the place of 0
    (tmp_path / "image.nii").write_bytes(image.header.binaryblock + bytes(4) + image.dataobj.tobytes(order="F"))
    with pytest.raises(ValueError, match=r"pixdim along . is (0|nan|inf) mm; expected"):
        read_pair(case_of(tmp_path / "image.nii"))


def test_a_picture_wider_than_any_scanner_is_refused(tmp_path):
    write_nifti(
        tmp_path / "image.nii.gz", np.arange(300 * 10 * 4, dtype=np.int16).reshape(300, 10, 4), (3.0, 3.0, 10.0)
    )
    with pytest.raises(ValueError, match=r"300 voxels of 3 mm along x are 900 mm; expected at most 800"):
        read_pair(case_of(tmp_path / "image.nii.gz"))


def test_voxels_whose_range_32_bits_cannot_hold_are_refused(tmp_path):
    voxels = np.where(Heart().frame("ED")[0] > 200, 3e38, -3e38).astype(np.float32)
    write_nifti(tmp_path / "image.nii.gz", voxels)
    with pytest.raises(ValueError, match=r"voxels from -3e\+38 to 3e\+38; expected a range that a 32-bit number holds"):
        read_pair(case_of(tmp_path / "image.nii.gz"))
    write_nifti(tmp_path / "image.nii.gz", voxels.astype(np.float64) * 1e9)
    with pytest.raises(ValueError, match="7200 voxels are NaN or infinite"):
        read_pair(case_of(tmp_path / "image.nii.gz"))


def test_colours_are_refused(tmp_path):
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.Nifti1Image(colours, np.diag((*SPACING_MM, 1.0))).to_filename(tmp_path / "image.nii.gz")
    with pytest.raises(ValueError, match="expected real numbers"):
        open_nifti(tmp_path / "image.nii.gz")


def test_frames_on_two_grids_are_refused(tmp_path):
    case = read_acdc(make_acdc(tmp_path, ["NOR"]))[0]
    write_nifti(case.es.image, Heart().frame("ES")[0], (3.0, 3.0, 8.0))
    with pytest.raises(ValueError, match=r"frame03\.nii\.gz: grid of .* 8\.0\) mm; expected that of .*frame01"):
        read_pair(case)


def test_a_mask_on_another_grid_or_absent_is_refused(tmp_path):
    case = read_acdc(make_acdc(tmp_path, ["NOR"]))[0]
    ed, _ = read_pair(case)
    assert sorted(read_mask(case.ed, ed).unique().tolist()) == [0, 1, 2, 3]
    write_nifti(case.ed.mask, np.zeros((4, 4, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"_gt\.nii\.gz: grid of \(4, 4, 4\)"):
        read_mask(case.ed, ed)
    case.ed.mask.unlink()
    with pytest.raises(ValueError, match=r"found no mask .*data\.crop=image"):
        read_mask(case.ed, ed)


@pytest.mark.parametrize(("code", "spacing"), [("H1N8S6", 9.6), ("G1K1V3", 10.0), ("G8R0Z9", 10.0)])
def test_real_files_of_three_vendors_are_read(code, spacing):
    folder = SAMPLE / code
    if not folder.is_dir():
        pytest.skip("unproved: the M&Ms sample is not beside the repository")
    ed, es = (Frame(folder / f"{code}_sa_{p}.nii.gz", folder / f"{code}_sa_{p}_gt.nii.gz", None) for p in ("ED", "ES"))
    case = Case(code, "vendorA", "", ed, es, "testing", (3, 2, 1), "mnms")
    picture, _ = read_pair(case)
    assert picture.spacing_mm[2] == pytest.approx(spacing, abs=1e-3)
    assert sorted(read_mask(case.ed, picture).unique().tolist()) == [0, 1, 2, 3]
