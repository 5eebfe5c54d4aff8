import pytest
import torch
from torch import nn
from torch.testing import assert_close

from fedcmr.models.shape import BackboneShape
from fedcmr.models.stem import ChannelNorm, Fusion, PatchLinear, Stem

SHAPE = BackboneShape(sax=(32, 32, 4), width=12, heads=2, stem_channels=(4, 6), stem_blocks=1)


def test_norm_is_over_channels_of_each_voxel() -> None:
    image = torch.randn(2, 4, 3, 3, 2)
    normed = ChannelNorm(4)(image)
    assert_close(normed.mean(dim=1), torch.zeros(2, 3, 3, 2), atol=1e-6, rtol=0)


def test_tokens_are_row_major_and_channels_run_fastest_inside_a_patch() -> None:
    embed = PatchLinear(2, 8, (2, 2))
    with torch.no_grad():
        embed.proj.weight.copy_(torch.eye(8))
        embed.proj.bias.zero_()
    image = torch.arange(2 * 2 * 4.0).reshape(1, 2, 2, 4)  # value = 8 c + 4 h + w
    second_patch = torch.tensor([2.0, 10.0, 3.0, 11.0, 6.0, 14.0, 7.0, 15.0])
    assert_close(embed(image)[0, 1], second_patch)


def test_patch_embedding_is_a_convolution_with_reordered_weight() -> None:
    embed = PatchLinear(3, 5, (2, 2, 1))
    conv = nn.Conv3d(3, 5, (2, 2, 1), stride=(2, 2, 1))
    with torch.no_grad():
        conv.weight.copy_(embed.proj.weight.reshape(5, 2, 2, 1, 3).permute(0, 4, 1, 2, 3))
        conv.bias.copy_(embed.proj.bias)
    image = torch.randn(1, 3, 4, 6, 2)
    assert_close(embed(image), conv(image).flatten(2).transpose(1, 2))


def test_an_image_that_patches_do_not_fill_is_refused_with_its_size() -> None:
    stem = Stem(SHAPE, "sax")
    with pytest.raises(ValueError, match=r"\(32, 40, 4\).*\(16, 16, 1\)"):
        stem(torch.zeros(1, 2, 32, 40, 4))


def test_a_slice_given_for_a_volume_is_refused() -> None:
    stem = Stem(SHAPE, "sax")
    with pytest.raises(ValueError, match="expected multiples"):
        stem(torch.zeros(1, 2, 32, 32))


def test_the_depthwise_kernel_mixes_slices() -> None:
    sizes = {"sax": (16, 16, 5), "frames": 1, "stem_channels": (4,), "scale": (4, 4, 1)}
    stem = Stem(BackboneShape(**{**vars(SHAPE), **sizes}), "sax")
    still, changed = torch.zeros(1, 1, 16, 16, 5), torch.zeros(1, 1, 16, 16, 5)
    changed[..., 0] = torch.randn(16, 16)
    moved = (stem(still)[1][0] - stem(changed)[1][0]).abs().amax(dim=(0, 1, 2, 3))
    assert (moved[:3] > 0).all()
    assert (moved[3:] == 0).all()


def test_skips_of_every_stage_end_on_the_grid_of_the_tokens() -> None:
    fusion = Fusion(SHAPE, "sax")
    summed = fusion.summed([torch.randn(2, 4, 8, 12, 3), torch.randn(2, 6, 4, 6, 3)])
    assert summed.shape == (2, 2 * 3 * 3, 12)
