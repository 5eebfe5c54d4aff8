import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcmr.data.views import Augmentation, Drawn, draw

EVERYTHING = Augmentation(contrast=1, noise=1, affine=1, bias=1, blur=1, mirror=1, upend=1)


@given(st.text(min_size=1, max_size=8), st.integers(1, 9), st.integers(0, 99))
def test_draws_repeat_and_stay_in_their_ranges(name, view, seed):
    drawn = draw(name, view, seed, EVERYTHING)
    assert drawn == draw(name, view, seed, EVERYTHING)
    assert 0.5 <= drawn.gamma <= 1.5
    assert 0 <= drawn.noise_std <= 0.05
    assert abs(drawn.turn) <= 3.1416
    assert max(abs(drawn.across_mm), abs(drawn.along_mm)) <= 60
    assert 0.8 <= drawn.zoom <= 1.2
    assert 0 <= drawn.bias <= 0.6
    assert 0.4 <= drawn.blur_mm <= 2.0
    assert drawn.mirror
    assert drawn.upend


@given(st.integers(1, 50))
def test_one_knob_does_not_disturb_what_another_draws(view):
    drawn = draw("p1", view, 0, EVERYTHING)
    assert draw("p1", view, 0, Augmentation(contrast=1)).gamma == drawn.gamma
    assert draw("p1", view, 0, Augmentation(affine=1)).turn == drawn.turn
    assert draw("p1", view, 0, Augmentation(bias=1)).bias == drawn.bias
    assert draw("p1", view, 0, Augmentation(blur=1)).blur_mm == drawn.blur_mm


def test_views_of_the_first_kinds_are_what_they_were_before_there_were_others():
    # printed by version 0.1.0 before bias, blur, mirror and upend came
    drawn = draw("p1", 3, 7, EVERYTHING)
    assert (drawn.gamma, drawn.noise_std, drawn.noise_seed) == (1.1424248899903156, 0.03916014169009125, 314929405)
    assert (drawn.turn, drawn.across_mm) == (-1.2445990661997088, -35.97021469778905)
    assert (drawn.along_mm, drawn.zoom) == (1.803252135188882, 1.0495981899290328)


def test_half_of_the_views_have_contrast_at_probability_a_half():
    changed = sum(draw("p1", view, 0, Augmentation(contrast=0.5)).gamma != 1 for view in range(400))
    assert 160 < changed < 240


def test_nothing_is_drawn_by_default():
    drawn = draw("p1", 1, 0, Augmentation())
    assert drawn == Drawn(noise_seed=drawn.noise_seed, bias_seed=drawn.bias_seed)
    assert Augmentation().is_none


@pytest.mark.parametrize("fault", [{"contrast": 1.5}, {"noise": -0.1}, {"upend": 2.0}])
def test_a_probability_out_of_range_is_refused(fault):
    with pytest.raises(ValueError, match=r"expected a probability in \[0, 1\]"):
        Augmentation(**fault)


@pytest.mark.parametrize("fault", [{"gamma_low": 0.0}, {"gamma_low": 2.0}, {"noise_std": -1.0}, {"scale": 1.0}])
def test_a_range_that_cannot_be_is_refused(fault):
    with pytest.raises(ValueError, match="expected 0 < gamma_low"):
        Augmentation(**fault)


@pytest.mark.parametrize("fault", [{"blur_low_mm": 0.0}, {"blur_low_mm": 3.0}, {"bias_strength": -0.1}])
def test_another_range_that_cannot_be_is_refused(fault):
    with pytest.raises(ValueError, match="expected 0 < blur_low_mm"):
        Augmentation(**fault)
