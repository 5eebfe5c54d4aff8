import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Spacing, SpatialResample
from scipy.ndimage import map_coordinates
from torch.testing import assert_close

from fedcmr.data.resampling import new_size, resample, resample_labels

TARGET = (1.0, 1.0, 10.0)
SPACINGS = [(1.5625, 1.5625, 10.0), (0.7, 0.7, 5.0), (1.333, 1.333, 9.6), (3.0, 2.0, 6.5)]


def volume(shape=(20, 17, 8)) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def by_definition(voxels: torch.Tensor, old_mm, order: int) -> np.ndarray:
    """New voxel j lies at (j + ½) new / old - ½; both grids start at the same corner (the definition, by scipy)."""
    sizes = [max(1, round(size * old / new)) for size, old, new in zip(voxels.shape, old_mm, TARGET, strict=True)]
    places = [(np.arange(n) + 0.5) * new / old - 0.5 for n, old, new in zip(sizes, old_mm, TARGET, strict=True)]
    grid = np.stack(np.meshgrid(*places, indexing="ij"))
    return map_coordinates(voxels.numpy(), grid, order=order, mode="nearest")


@pytest.mark.parametrize("old_mm", SPACINGS)
def test_linear_resampling_is_the_definition(old_mm):
    assert_close(resample(volume(), old_mm, TARGET).numpy(), by_definition(volume(), old_mm, 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("old_mm", SPACINGS[:3])
def test_labels_keep_the_nearest_voxel(old_mm):
    labels = (volume() * 4).long()
    expected = by_definition(labels.float(), old_mm, 0)
    agree = (resample_labels(labels, old_mm, TARGET).numpy() == expected).mean()
    assert agree > 0.95  # ties between two voxels may fall either way
    assert resample_labels(labels, old_mm, TARGET).shape == expected.shape


@pytest.mark.parametrize("old_mm", SPACINGS)
def test_linear_resampling_agrees_with_monai_told_where_the_first_voxel_lies(old_mm):
    ours = resample(volume(), old_mm, TARGET)
    affine = torch.diag(torch.tensor((*TARGET, 1.0), dtype=torch.float64))
    affine[:3, 3] = (torch.tensor(TARGET) - torch.tensor(old_mm)) / 2
    image = MetaTensor(volume()[None], affine=torch.diag(torch.tensor((*old_mm, 1.0), dtype=torch.float64)))
    theirs = SpatialResample(mode="bilinear", padding_mode="border")(image, affine, spatial_size=ours.shape)
    assert_close(ours, theirs.as_tensor()[0].float(), rtol=1e-4, atol=1e-4)


def test_monai_spacing_agrees_where_voxels_get_smaller():
    # with scale_extent MONAI's Spacing keeps the corner too, but only there: where voxels grow it shifts the other way
    old_mm = (2.0, 3.0, 20.0)
    image = MetaTensor(volume()[None], affine=torch.diag(torch.tensor((*old_mm, 1.0), dtype=torch.float64)))
    theirs = Spacing(pixdim=TARGET, mode="bilinear", padding_mode="border", scale_extent=True)(image)
    assert_close(resample(volume(), old_mm, TARGET), theirs.as_tensor()[0].float(), rtol=1e-4, atol=1e-4)


def test_the_same_spacing_changes_nothing():
    assert torch.equal(resample(volume(), TARGET, TARGET), volume())


def test_slices_of_5_mm_become_means_of_two():
    voxels = volume((4, 4, 6))
    expected = (voxels[..., 0::2] + voxels[..., 1::2]) / 2
    assert_close(resample(voxels, (1.0, 1.0, 5.0), TARGET), expected)


@settings(max_examples=50)
@given(st.integers(1, 40), st.floats(0.3, 4.0), st.floats(0.3, 4.0))
def test_a_straight_ramp_stays_straight_and_in_place(size, old, new):
    ramp = ((torch.arange(size) + 0.5) * old)[:, None, None].double()
    found = resample(ramp, (old, 1.0, 1.0), (new, 1.0, 1.0))[:, 0, 0]
    assert len(found) == new_size(size, old, new)
    places = (torch.arange(len(found)) + 0.5).double() * new
    assert_close(found, places.clamp(old / 2, (size - 0.5) * old), rtol=1e-6, atol=1e-6)
