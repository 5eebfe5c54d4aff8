from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedcmr.data.files import MOST_BYTES
from fedcmr.data.headers import MOST_VOXELS, read_layout

FILE = Path("image.nii.gz")


def header(**fields: object) -> bytes:
    made = nibabel.Nifti1Header()
    made.set_data_shape((40, 36, 5, 3))
    made.set_data_dtype(np.int16)
    made["pixdim"][1:5] = (2, 2, 10, 30)
    made["vox_offset"], made["magic"] = 352, b"n+1"
    for name, value in fields.items():
        made[name] = value
    return made.binaryblock + bytes(4)


def test_a_layout_says_where_the_voxels_are_and_what_they_mean() -> None:
    layout = read_layout(FILE, header(scl_slope=2, scl_inter=-5))
    assert (layout.shape, layout.pixdim, layout.dtype) == ((40, 36, 5, 3), (2, 2, 10, 30), np.dtype(np.int16))
    assert (layout.slope, layout.inter) == (2, -5)
    assert layout.frame_bytes == 40 * 36 * 5 * 2
    assert layout.end == 352 + 3 * layout.frame_bytes


def test_a_header_with_the_other_end_first_is_the_same() -> None:
    swapped = nibabel.Nifti1Header(header()[:348]).as_byteswapped().binaryblock
    assert read_layout(FILE, swapped + bytes(4)).shape == (40, 36, 5, 3)
    assert read_layout(FILE, swapped + bytes(4)).dtype == np.dtype(np.int16).newbyteorder()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"magic": b"ni1"}, r"not a NIfTI file \(its magic word is b'ni1', not b'n\+1'\)"),
        ({"dim": (0, 1, 1, 1, 1, 1, 1, 1)}, "not a NIfTI file .its sizes are"),
        ({"dim": (9, 4, 4, 4, 4, 4, 4, 4)}, "its sizes are"),
        ({"dim": (3, 4, -4, 4, 1, 1, 1, 1)}, "its sizes are .3, 4, -4"),
        ({"dim": (3, 4, 0, 4, 1, 1, 1, 1)}, "its sizes are"),
        ({"vox_offset": np.inf}, "its voxels begin at byte inf"),
        ({"vox_offset": np.nan}, "its voxels begin at byte nan"),
        ({"vox_offset": 0}, "its voxels begin at byte 0"),
        ({"vox_offset": 352.5}, "its voxels begin at byte 352.5"),
        ({"datatype": 12345}, "no type of voxels"),
        ({"scl_slope": 1, "scl_inter": np.inf}, "no scale"),
        ({"datatype": 128}, "expected real numbers"),
        ({"datatype": 32}, "voxels of type complex64; expected real numbers"),
        ({"datatype": 0}, "expected real numbers"),
    ],
)
def test_a_header_that_means_nothing_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=rf"image\.nii\.gz: .*{message}"):
        read_layout(FILE, header(**fields))


@pytest.mark.parametrize(
    "dim", [(4, 32767, 32767, 32767, 32767, 1, 1, 1), (3, 1024, 1024, 32, 1, 1, 1, 1), (4, 512, 512, 64, 128, 1, 1, 1)]
)
def test_an_image_that_is_too_large_is_refused_by_its_header(dim: tuple[int, ...]) -> None:
    if dim[0] == 3:
        assert np.prod(dim[1:]) > MOST_VOXELS
    else:
        assert np.prod(dim[1:], dtype=float) * 2 > MOST_BYTES
    with pytest.raises(ValueError, match=r"expected at most 16777216 voxels in a frame and 2147483648 bytes"):
        read_layout(FILE, header(dim=dim))


def test_a_header_that_is_cut_off_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not a NIfTI file \(40 bytes; a header has 352\)"):
        read_layout(FILE, header()[:40])


def test_a_negative_length_is_one_all_the_same_and_none_is_made_up() -> None:
    assert read_layout(FILE, header(pixdim=(-1, -2, 2, 0, 1, 1, 1, 1))).pixdim == (2, 2, 0, 1)
