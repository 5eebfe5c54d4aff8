import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_data import Heart

from fedcmr.data.cropping import bell, blank_cylinder, find_heart, mask_centre, smooth, window


def frames(heart: Heart) -> list[torch.Tensor]:
    return [torch.from_numpy(heart.frame(phase)[0].astype(np.float32)) / 500 for phase in ("ED", "ES")]


@pytest.mark.parametrize("centre", [(96.0, 54.0), (50.0, 40.0), (78.0, 80.0)])
def test_the_moving_heart_is_found_wherever_it_lies(centre):
    heart = Heart(shape=(120, 108, 6), spacing_mm=(1.0, 1.0, 10.0), centre=centre)
    found = find_heart(*frames(heart))
    # both ventricles move: their common middle lies 16.5 mm beside the left one's; the image's middle draws a little
    assert np.hypot(found[0] - (centre[0] - 16.5), found[1] - centre[1]) < 12


def test_without_movement_the_middle_of_the_image_is_taken():
    ed, _ = frames(Heart())
    assert find_heart(ed, ed) == (19.5, 17.5)


def test_noise_far_from_the_heart_does_not_move_the_centre_much():
    heart = Heart(shape=(120, 108, 6), spacing_mm=(1.0, 1.0, 10.0), centre=(70.0, 50.0))
    ed, es = frames(heart)
    noisy = es.clone()
    noisy[:, :12] += 0.3 * torch.rand(120, 12, 6, generator=torch.Generator().manual_seed(0))
    assert np.allclose(find_heart(ed, noisy), find_heart(ed, es), atol=4)


def test_the_centre_of_a_mask_is_the_middle_of_its_bounding_box():
    mask = torch.zeros(20, 30, 4, dtype=torch.bool)
    mask[4:9, 10:21, 1:3] = True
    assert mask_centre(mask, "p1") == (6.0, 15.0)
    with pytest.raises(ValueError, match=r"Case p1: the mask has no left ventricle at ED.*data\.crop=image"):
        mask_centre(torch.zeros(2, 2, 2, dtype=torch.bool), "p1")


@given(st.integers(1, 400), st.floats(-50, 450), st.integers(1, 200))
def test_a_window_has_its_size_and_stays_inside(size, centre, wanted):
    seen = window(centre, size, wanted)
    assert 0 <= seen.start < seen.stop <= size
    assert seen.stop - seen.start == min(size, wanted)


def test_a_window_is_centred_where_there_is_room():
    # pixels 10 … 19: middle 14.5
    assert window(14.5, 100, 10) == slice(10, 20)


def test_blanking_empties_a_cylinder_and_nothing_else():
    volume = torch.ones(2, 21, 21, 3)
    blanked = blank_cylinder(volume, (10.0, 10.0), 5.0)
    assert blanked[:, 10, 15].sum() == 0
    assert bool((blanked[:, 10, 16] == 1).all())
    assert float(blanked.mean()) == pytest.approx(1 - 81 / 441)  # 81 pixels within 5 of the middle


def test_smoothing_keeps_a_constant_away_from_the_edge_and_a_bell_is_1_at_its_centre():
    assert smooth(torch.ones(61, 61, 1), 3.0)[30, 30, 0] == pytest.approx(1.0, abs=1e-4)
    assert bell((5, 7), (2.0, 3.0), 1.5)[2, 3] == 1
