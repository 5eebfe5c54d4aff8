import pytest
import torch

from fedcmr.models.decoder import Decoder, DecoderShape


def test_a_hidden_patch_never_hears_another_one() -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderShape(16, 2, 2), mlp_ratio=4)
    asking, visible = torch.rand(1, 3, 16), torch.rand(1, 5, 16)
    alone = decoder(asking[:, :1], visible)
    torch.testing.assert_close(decoder(asking, visible)[:, :1], alone)


def test_every_visible_patch_is_heard() -> None:
    torch.manual_seed(0)
    decoder = Decoder(DecoderShape(16, 1, 2), mlp_ratio=4)
    asking, visible = torch.rand(1, 1, 16), torch.rand(1, 5, 16, requires_grad=True)
    decoder(asking, visible).square().sum().backward()
    assert visible.grad is not None
    assert (visible.grad.abs().sum(dim=2) > 0).all()


@pytest.mark.parametrize("sizes", [(30, 2, 4), (16, 0, 2), (16, 1, 0)])
def test_an_impossible_decoder_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DecoderShape(*sizes)
