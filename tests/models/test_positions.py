import torch
from torch.testing import assert_close

from fedcmr.models.positions import position_code, resized


def test_first_share_of_channels_is_the_token_number_modulo_the_first_axis() -> None:
    # grid (4, 2): token t has t mod 4 in the first share, t div 4 in the second; row-major order would be t div 2
    code_ND = position_code((4, 2), 8)[0]
    tokens = torch.arange(8)
    assert_close(code_ND[:, 0], torch.sin((tokens % 4).float()))
    assert_close(code_ND[:, 4], torch.sin((tokens // 4).float()))


def test_on_three_axes_the_last_share_is_the_slice() -> None:
    code_ND = position_code((2, 3, 4), 12)[0]
    assert_close(code_ND[:, 8], torch.sin((torch.arange(24) % 4).float()))


def test_waves_slow_down_from_1_to_1_in_10000() -> None:
    # d = 8 // 2 = 4 channels an axis: ω = 1, 10000^(-1/2) = 0.01; token 1 of the first axis
    sine_and_cosine = torch.tensor([0.841471, 0.00999983, 0.540302, 0.99995])
    assert_close(position_code((2, 1), 8)[0, 1, :4], sine_and_cosine)


def test_channels_that_the_axes_leave_over_are_zero() -> None:
    # width 16 on 3 axes: 16 // 3 = 5, even 4, so 12 are used
    code = position_code((2, 2, 2), 16)
    assert not code[..., 12:].any()
    assert code[..., :12].any(dim=1).all()


def test_an_equal_grid_is_not_interpolated() -> None:
    code = position_code((2, 3), 8)
    assert resized(code, (2, 3), (2, 3)) is code


def test_another_grid_gets_as_many_tokens_in_row_major_order() -> None:
    code = torch.arange(4.0).reshape(1, 4, 1)
    doubled = resized(code, (2, 2, 1), (2, 2, 3))
    assert_close(doubled[0, :, 0], torch.arange(4.0).repeat_interleave(3))
