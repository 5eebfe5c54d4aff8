import pytest
import torch

from fedcmr.models import tiny


def test_the_embedded_backbone_has_576_tokens_and_about_one_and_a_half_million_parameters() -> None:
    backbone = tiny.build(tiny.Knobs())
    assert backbone.enc_down_dict["sax"].grid == (6, 6, 16)
    assert 1.4e6 < sum(tensor.numel() for tensor in backbone.parameters()) < 1.7e6


def test_it_says_that_it_is_not_pretrained() -> None:
    assert "not pre-trained" in tiny.build(tiny.Knobs()).provenance


def test_its_weights_depend_on_their_own_seed_alone() -> None:
    torch.manual_seed(3)
    first = tiny.build(tiny.Knobs()).digest()
    torch.manual_seed(4)
    assert tiny.build(tiny.Knobs()).digest() == first
    assert tiny.build(tiny.Knobs(weights_seed=1)).digest() != first


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="weights_seed"):
        tiny.Knobs(weights_seed=-1)
