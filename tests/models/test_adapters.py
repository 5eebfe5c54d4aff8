import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.branches import Branch
from fedcmr.models.adapters import (
    chosen_blocks,
    factors,
    inject,
    merged,
    mixed,
    openable,
    silenced,
    unfreeze,
)
from fedcmr.models.backbone import Backbone, seeded
from fedcmr.models.blocks import TARGETS
from fedcmr.tensors import TensorName

DUAL = (Branch("global", rank=2), Branch("local", rank=3))


def adapted(backbone: Backbone) -> Backbone:
    """Every layer of the last two blocks, with factors that are not zero."""
    inject(backbone, DUAL, "last-2", TARGETS, 0, 0.0)
    with torch.no_grad():
        for index, factor in enumerate(factors(backbone).values()):
            factor.normal_(std=0.3, generator=torch.Generator().manual_seed(index))
    return backbone


def changed(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("blocks", ["last-2", "first-2", "all", "1,3", [0]])
def test_before_training_the_adapted_model_is_the_frozen_one_bit_by_bit(
    backbone: Backbone, images: dict[str, Tensor], blocks: str | list[int]
) -> None:
    before = backbone(images)
    inject(backbone, DUAL, blocks, TARGETS, 0, 0.0)
    assert not changed(before, backbone(images))


@pytest.mark.parametrize(
    ("blocks", "chosen"),
    [
        ("last-2", [2, 3]),
        ("first-2", [0, 1]),
        ("last-1", [3]),
        ("all", [0, 1, 2, 3]),
        ("3,1", [1, 3]),
        ("2", [2]),
        ((3, 0), [0, 3]),
    ],
)
def test_blocks_are_chosen_by_word_or_number(blocks: str | tuple[int, ...], chosen: list[int]) -> None:
    assert chosen_blocks(blocks, 4) == chosen


@pytest.mark.parametrize("blocks", ["last", "last-0", "last-9", "lest-2", "4", "1,1", "-1", "", "1.5", [], [4], [-1]])
def test_blocks_that_are_not_there_are_refused(blocks: str | list[int]) -> None:
    with pytest.raises(ValueError, match=r"adapter\.blocks"):
        chosen_blocks(blocks, 4)


def test_the_nearest_layer_is_offered_for_an_unknown_one(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match=r"Did you mean 'attn\.q'"):
        inject(backbone, DUAL, "all", ["atn.q"], 0, 0.0)


@pytest.mark.parametrize("layers", [[], ["attn.q", "attn.q"]])
def test_no_layer_and_a_layer_twice_are_refused(backbone: Backbone, layers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"adapter\.layers"):
        inject(backbone, DUAL, "all", layers, 0, 0.0)


def test_injecting_twice_into_a_layer_is_refused(backbone: Backbone) -> None:
    inject(backbone, DUAL, "all", ["attn.q"], 0, 0.0)
    with pytest.raises(ValueError, match="adapted already"):
        inject(backbone, DUAL, "all", ["attn.q"], 0, 0.0)


def test_a_rank_that_adds_nothing_is_refused(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match=f"rank {backbone.width + 1}.*above {backbone.width} adds nothing"):
        inject(backbone, (Branch("global", backbone.width + 1, 1.0),), "last-2", ("attn.q",), 0, 0.0)


@pytest.mark.parametrize(("blocks", "split"), [("last-2", 2), ("first-2", 0), ("1,3", 1)])
def test_the_prefix_ends_before_the_first_adapted_block(backbone: Backbone, blocks: str, split: int) -> None:
    inject(backbone, DUAL, blocks, ["mlp.fc1"], 0, 0.0)
    assert backbone.split == split


def test_without_branches_everything_stays_frozen(backbone: Backbone) -> None:
    inject(backbone, (), "last-2", ["attn.q"], 0, 0.0)
    assert backbone.split == backbone.depth
    assert not backbone.adapted


def test_factors_have_the_names_and_shapes_of_the_grammar(backbone: Backbone) -> None:
    inject(backbone, DUAL, "last-2", ["attn.kv", "mlp.fc1"], 0, 0.0)
    found = {name: tuple(tensor.shape) for name, tensor in factors(backbone).items()}
    assert found["encoder.blocks.3.attn.kv.branches.global.A"] == (2, 24)
    assert found["encoder.blocks.3.attn.kv.branches.local.B"] == (48, 3)
    assert found["encoder.blocks.2.mlp.fc1.branches.local.B"] == (96, 3)
    assert len(found) == 2 * 2 * 2 * 2
    assert all(TensorName.parse(name).is_factor for name in found)


def test_starting_values_are_a_function_of_seed_and_name(backbone: Backbone) -> None:
    other = seeded(backbone.shape, 0, "test")
    inject(backbone, DUAL, "last-2", ["attn.q"], 5, 0.0)
    inject(other, tuple(reversed(DUAL)), "all", TARGETS, 5, 0.0)
    elsewhere = factors(other)
    for name, tensor in factors(backbone).items():
        assert torch.equal(tensor, elsewhere[name])
    again = seeded(backbone.shape, 0, "test")
    inject(again, DUAL, "last-2", ["attn.q"], 6, 0.0)
    name = "encoder.blocks.3.attn.q.branches.global.A"
    assert not torch.equal(factors(again)[name], factors(backbone)[name])


def test_the_two_branches_start_from_different_a(backbone: Backbone) -> None:
    inject(backbone, (Branch("global", 4), Branch("local", 4)), "last-2", ["attn.q"], 0, 0.0)
    found = factors(backbone)
    start = "encoder.blocks.3.attn.q.branches."
    assert not torch.equal(found[f"{start}global.A"], found[f"{start}local.A"])


def test_only_factors_get_gradients(backbone: Backbone, images: dict[str, Tensor]) -> None:
    adapted(backbone)
    prefix = backbone.prefix(images, backbone.split)
    sum(tensor.square().sum() for tensor in backbone.suffix(prefix, backbone.split).values()).backward()
    with_gradient = {name for name, tensor in backbone.named_parameters() if tensor.grad is not None}
    assert with_gradient == set(factors(backbone))
    assert all(part.grad is None for part in prefix.values())


def test_a_silenced_branch_is_not_heard_and_is_back_afterwards(backbone: Backbone, images: dict[str, Tensor]) -> None:
    frozen = backbone(images)
    both = adapted(backbone)(images)
    with silenced(backbone, {"local"}):
        one = backbone(images)
    with silenced(backbone, {"global", "local"}):
        assert not changed(backbone(images), frozen)
    assert changed(one, both)
    assert not changed(backbone(images), both)


def test_gains_come_back_after_an_error(backbone: Backbone) -> None:
    adapted(backbone)
    with pytest.raises(KeyError), silenced(backbone, {"local"}):
        raise KeyError
    assert all(layer.gains == {"global": 1.0, "local": 1.0} for layer in backbone.adapted.values())


def test_silencing_inside_mixing_keeps_the_outer_gains(backbone: Backbone) -> None:
    adapted(backbone)
    layer = next(iter(backbone.adapted.values()))
    with mixed(backbone, {"global": 0.5, "local": 0.5}):
        with silenced(backbone, {"local"}):
            assert layer.gains == {"global": 0.5, "local": 0.0}
        assert layer.gains == {"global": 0.5, "local": 0.5}


def test_a_gain_multiplies_its_branch(backbone: Backbone) -> None:
    layer = next(iter(adapted(backbone).adapted.values()))
    x = torch.randn(3, 24)
    pair = layer.branches["local"]
    with mixed(backbone, {"global": 0.0, "local": 0.25}):
        assert_close(layer(x), layer.weights(x) + 0.25 * layer.scales["local"] * x @ pair.A.T @ pair.B.T)


def test_an_unknown_branch_is_refused_with_the_nearest_name(backbone: Backbone) -> None:
    adapted(backbone)
    with pytest.raises(ValueError, match="Did you mean 'local'"), silenced(backbone, {"locl"}):
        pass


def test_silencing_nobody_works_without_adapters(backbone: Backbone) -> None:
    with silenced(backbone, frozenset()):
        pass


def test_merging_and_back_restores_every_weight_bit_by_bit(backbone: Backbone, images: dict[str, Tensor]) -> None:
    adapted(backbone)
    before, pristine = backbone(images), backbone.digest()
    with merged(backbone):
        inside = backbone(images)
        assert backbone.digest() != pristine
    for name, tensor in before.items():
        assert_close(inside[name], tensor, rtol=1e-4, atol=1e-5)
    assert backbone.digest() == pristine
    assert not changed(backbone(images), before)


def test_digest_does_not_count_branches(backbone: Backbone) -> None:
    pristine = backbone.digest()
    assert adapted(backbone).digest() == pristine


def test_an_unfrozen_layer_trains_and_moves_the_split(backbone: Backbone, images: dict[str, Tensor]) -> None:
    pristine = backbone.digest()
    adapted(backbone)
    unfreeze(backbone, ["encoder.blocks.1.norm1", "encoder.blocks.3.mlp.fc1", "encoder.norm"])
    assert backbone.split == 1
    with torch.no_grad():
        for tensor in backbone.parameters():
            if tensor.requires_grad:
                tensor.add_(1.0)
    assert backbone.digest() == pristine
    assert set(backbone.originals) == {
        f"{layer}.{leaf}"
        for layer in ("encoder.blocks.1.norm1", "encoder.blocks.3.mlp.fc1", "encoder.norm")
        for leaf in ("weight", "bias")
    }


def test_layers_of_the_prefix_cannot_be_unfrozen(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match="layer to unfreeze"):
        unfreeze(backbone, ["enc_down_dict.sax.linear"])


def test_every_openable_layer_is_there_and_has_tensors(backbone: Backbone) -> None:
    for layer in openable(backbone):
        assert list(backbone.get_submodule(layer).parameters(recurse=False))
