"""Views done to volumes and to masks, on arrays small enough to follow by eye."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.data.applying import apply, apply_to_masks, extent, smooth_field
from fedcmr.data.views import Drawn


def volume(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_a_view_that_does_nothing_changes_nothing():
    made = volume(2, 6, 5, 3)
    assert torch.equal(apply(made, Drawn()), made)


def test_an_empty_volume_stays_empty():
    assert float(apply(torch.zeros(2, 6, 6, 2), Drawn(gamma=1.2, noise_std=0.1, bias=0.5, blur_mm=1.0)).sum()) == 0


def test_the_extent_ends_with_the_last_voxel_of_any_frame():
    made = torch.zeros(2, 6, 5, 4)
    made[0, 3, 1, 0] = made[1, 0, 2, 2] = 0.5
    assert extent(made) == (4, 3, 3)


def test_contrast_is_a_power_and_nothing_else_moves():
    made = volume(2, 8, 8, 4)
    low, high = made.min(), made.max()
    expected = ((made - low) / (high - low)) ** 1.5 * (high - low) + low
    assert_close(apply(made, Drawn(gamma=1.5)), expected, rtol=1e-4, atol=1e-5)


def test_a_shift_moves_voxels_by_whole_pixels_and_brings_in_zeros():
    made = torch.zeros(2, 9, 9, 2)
    made[:, 4, 4] = 1
    # an image is read at p + shift, so what is in it goes the other way
    moved = apply(made, Drawn(across_mm=2.0, along_mm=-1.0))
    assert moved[0, :, :, 0].nonzero().tolist() == [[2, 5]]
    assert_close(moved.sum(), made.sum())


def test_a_quarter_turn_takes_one_axis_to_the_other():
    made = torch.zeros(1, 5, 5, 1)
    made[0, 4, 2] = 1
    assert apply(made, Drawn(turn=torch.pi / 2))[0, :, :, 0].round().nonzero().tolist() == [[2, 0]]


def test_both_axes_are_scaled_by_one_factor():
    made = torch.zeros(2, 41, 41, 2)
    made[:, 14:27, 14:27] = 1
    zoomed = apply(made, Drawn(zoom=1.3))[0, :, :, 0] > 0.5
    assert zoomed.any(1).sum() == zoomed.any(0).sum() != 13


def test_movement_and_contrast_are_monais():
    # what CineMA was trained with; numbers of earlier versions, which called it, stay what they were
    from monai.transforms import AdjustContrast, Affine

    made = volume(2, 24, 21, 3)
    drawn = Drawn(turn=0.7, across_mm=3.2, along_mm=-1.6, zoom=1.15)
    theirs = Affine(
        rotate_params=(0.0, 0.0, drawn.turn),
        translate_params=(drawn.across_mm, drawn.along_mm, 0.0),
        scale_params=(drawn.zoom, drawn.zoom, 1.0),
        mode="bilinear",
        padding_mode="zeros",
        image_only=True,
    )
    assert_close(apply(made, drawn), torch.as_tensor(theirs(made)).as_subclass(Tensor), rtol=0, atol=1e-5)
    brighter = torch.as_tensor(AdjustContrast(gamma=0.7)(made)).as_subclass(Tensor)
    assert_close(apply(made, Drawn(gamma=0.7)), brighter, rtol=0, atol=1e-6)


def test_the_bias_field_is_smooth_bounded_and_a_function_of_its_seed():
    field = smooth_field(torch.Size((40, 30, 8)), 5)
    assert torch.equal(field, smooth_field(torch.Size((40, 30, 8)), 5))
    assert not torch.equal(field, smooth_field(torch.Size((40, 30, 8)), 6))
    assert float(field.abs().max()) <= 1
    # three spans between four nodes, each a change of at most 2 over 39 / 3 voxels
    assert float(field.diff(dim=0).abs().max()) <= 2 * 3 / 39 + 1e-6


def test_a_bias_multiplies_by_an_exponential_and_keeps_the_greatest_value():
    made = torch.full((2, 20, 20, 6), 0.5)
    seen = apply(made, Drawn(bias=0.4, bias_seed=5))
    factor = torch.exp(0.4 * smooth_field(torch.Size((20, 20, 6)), 5))
    assert_close(seen, (0.5 * factor / factor.max()).expand(2, -1, -1, -1))


def test_a_blur_keeps_a_flat_image_flat_and_spreads_a_point_as_far_as_it_says():
    flat = torch.full((1, 15, 15, 2), 0.7)
    assert_close(apply(flat, Drawn(blur_mm=1.5)), flat)
    point = torch.zeros(1, 31, 31, 1)
    point[0, 15, 15], point[0, 30, 30] = 1, 1e-9  # the second says how far the image goes
    spread = apply(point, Drawn(blur_mm=2.0))[0, :, :, 0]
    variance = (spread.sum(1) * (torch.arange(31) - 15) ** 2).sum()
    assert_close(variance, torch.tensor(4.0), rtol=0.01, atol=0)


def test_slices_that_fill_up_stay_empty_and_last_when_the_order_turns_round():
    made = torch.zeros(1, 4, 4, 5)
    for z, value in enumerate((0.2, 0.4, 0.8)):
        made[..., z] = value
    seen = apply(made, Drawn(upend=True, noise_std=0.0))
    assert_close(seen[0, 0, 0], torch.tensor([0.8, 0.4, 0.2, 0, 0]))


def test_a_mirror_reverses_x_alone():
    made = volume(2, 5, 4, 3)
    assert torch.equal(apply(made, Drawn(mirror=True)), made.flip(1))


@pytest.mark.parametrize(
    "drawn",
    [
        Drawn(turn=2.1, across_mm=4.0, along_mm=-7.0, zoom=0.9),
        Drawn(mirror=True, upend=True),
        Drawn(turn=-0.4, zoom=1.2, mirror=True, upend=True, gamma=0.8),
    ],
)
def test_masks_move_with_their_volume(drawn: Drawn):
    made, masks = torch.zeros(2, 48, 40, 6), torch.zeros(2, 48, 40, 6, dtype=torch.uint8)
    made[..., :5] = 0.1
    made[0, 10:30, 8:26, 1:4] = made[1, 15:25, 12:20, 1:3] = 1.0
    masks[made == 1] = 2
    moved = apply_to_masks(masks, drawn, 5)
    assert moved.dtype == torch.uint8
    assert set(moved.unique().tolist()) == {0, 2}
    seen = apply(made, drawn) > 0.55
    agree = 2 * (seen & (moved == 2)).sum() / (seen.sum() + (moved == 2).sum())
    assert agree > 0.97
    assert int(moved[..., 5].sum()) == 0


def test_light_leaves_masks_as_they_are():
    masks = (volume(2, 6, 6, 3) * 4).to(torch.uint8)
    assert torch.equal(apply_to_masks(masks, Drawn(gamma=2.0, noise_std=0.1, bias=0.5, blur_mm=1.0), 3), masks)
