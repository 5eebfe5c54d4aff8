"""The masked autoencoder, by itself and against tensors of the published implementation where those are at hand."""

import json
from pathlib import Path

import pytest
import torch
from einops import repeat
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from fedcmr.models.backbone import Backbone
from fedcmr.models.decoder import DecoderShape
from fedcmr.models.mapping import load_pretrained
from fedcmr.models.masked import MaskedAutoencoder, hidden_tokens, seeded_autoencoder
from fedcmr.models.positions import position_code
from fedcmr.models.shape import VIEWS, BackboneShape

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "cinema_parity"
PUBLISHED = ("tiny_mae", "tiny_mae_2view")
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
DECODER = DecoderShape(width=16, depth=2, heads=2)


def read(case: str, what: str) -> dict[str, Tensor]:
    path = FIXTURES / case / f"{what}.safetensors"
    if not path.exists():
        pytest.skip(f"unproved: no {path.name} of {case} beside the repository")
    return load_file(path)


def part(tensors: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def published(case: str) -> MaskedAutoencoder:
    stored = read(case, "state_dict")
    cfg = json.loads((FIXTURES / case / "config.json").read_text())["cfg"]
    vit = cfg["vit_cfg"]
    shape = BackboneShape(
        views=VIEWS,
        sax=tuple(cfg["sax"]),
        lax=tuple(cfg["lax"]),
        frames=1,
        width=vit["enc_embed_dim"],
        depth=vit["enc_depth"],
        heads=vit["enc_n_heads"],
        stem_channels=tuple(cfg["conv_chans"]),
        stem_blocks=cfg["n_blocks"],
    )
    model = MaskedAutoencoder(shape, DecoderShape(vit["dec_embed_dim"], vit["dec_depth"], vit["dec_n_heads"]))
    built = {name: tensor.clone() for name, tensor in model.state_dict().items() if name.endswith("pos_embed")}
    model.load_strictly(stored)
    for name, tensor in built.items():
        assert_close(tensor, stored[name], rtol=0, atol=2e-6)
    return model


@pytest.mark.parametrize("case", PUBLISHED)
def test_what_is_told_of_hidden_patches_and_the_loss_are_the_published_ones(case: str) -> None:
    model, wanted = published(case), read(case, "outputs")
    images, hidden = part(read(case, "inputs"), "image."), part(wanted, "mae.mask.")
    told = model.told(images, hidden)
    assert told.keys() == set(VIEWS)
    for view, tensor in told.items():
        assert_close(tensor, wanted[f"mae.pred.{view}"], **TOLERANCE)
    assert_close(model.loss(images, hidden), wanted["mae.loss"], **TOLERANCE)


@pytest.mark.parametrize("case", PUBLISHED)
def test_with_nothing_hidden_features_are_those_of_the_published_encoder(case: str) -> None:
    model, wanted = published(case), read(case, "outputs")
    images = part(read(case, "inputs"), "image.")
    for name, tensor in model(images).items():
        assert_close(tensor, wanted[f"features_all.{name}"], **TOLERANCE)


def test_names_and_shapes_are_those_of_the_released_file() -> None:
    path = FIXTURES / "keys" / "mae_base.txt"
    if not path.exists():
        pytest.skip(f"unproved: no {path.name} beside the repository")
    with torch.device("meta"):
        model = MaskedAutoencoder(BackboneShape(views=VIEWS, frames=1), DecoderShape())
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    listed = {name: tuple(json.loads(f"[{shape.strip('()[],')}]")) for name, shape, *_ in rows}
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == listed


@pytest.fixture
def model(small_shape: BackboneShape) -> MaskedAutoencoder:
    return seeded_autoencoder(BackboneShape(**{**vars(small_shape), "frames": 1}), DECODER, 0)


def batch(model: MaskedAutoencoder) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    images = torch.rand(2, 1, 32, 32, 8, generator=torch.Generator().manual_seed(1))
    hidden = torch.stack([hidden_tokens(32, 0.75, 0, name) for name in "ab"])
    return {"sax": images}, {"sax": hidden}


def test_hidden_voxels_bear_on_the_target_alone(model: MaskedAutoencoder) -> None:
    images, hidden = batch(model)
    patches = model.patches("sax", images["sax"])
    patches[hidden["sax"]] = 0.5
    other = {"sax": model.image("sax", patches)}
    assert torch.equal(model.told(images, hidden)["sax"], model.told(other, hidden)["sax"])
    assert not torch.equal(model.loss(images, hidden), model.loss(other, hidden))


def test_visible_voxels_bear_on_what_is_told(model: MaskedAutoencoder) -> None:
    images, hidden = batch(model)
    patches = model.patches("sax", images["sax"])
    patches[~hidden["sax"]] = 0.5
    other = {"sax": model.image("sax", patches)}
    assert not torch.allclose(model.told(images, hidden)["sax"], model.told(other, hidden)["sax"])


def test_the_loss_is_the_mean_squared_error_on_hidden_patches(model: MaskedAutoencoder) -> None:
    images, hidden = batch(model)
    error = model.told(images, hidden)["sax"] - model.patches("sax", images["sax"])[hidden["sax"]].unflatten(0, (2, -1))
    assert_close(model.loss(images, hidden), error.square().mean())


def test_patches_put_together_again_are_the_image(small_shape: BackboneShape) -> None:
    both = seeded_autoencoder(BackboneShape(**{**vars(small_shape), "views": ("sax", "lax_2c")}), DECODER, 0)
    for view, image in {"sax": torch.rand(1, 2, 32, 32, 8), "lax_2c": torch.rand(1, 2, 32, 32)}.items():
        assert torch.equal(both.image(view, both.patches(view, image)), image)


def test_every_weight_learns(model: MaskedAutoencoder) -> None:
    model.loss(*batch(model)).backward()
    assert all(tensor.grad is not None for tensor in model.parameters())
    assert model.dec_embed_dict["sax"].mask_token.grad.abs().sum() > 0
    assert model.encoder.cls_token.grad.abs().sum() > 0


def test_its_encoder_becomes_a_backbone_for_two_frames(model: MaskedAutoencoder, small_shape: BackboneShape) -> None:
    backbone = Backbone(small_shape, "test")
    load_pretrained(backbone, model.state_dict())
    stem = "enc_down_dict.sax.conv_blocks.0.patch_embed.conv.weight"
    one, two = model.state_dict()[stem], backbone.state_dict()[stem]
    assert torch.equal(two, torch.cat([one, one], dim=1))
    assert torch.equal(backbone.encoder.blocks[0].attn.q.weight, model.encoder.blocks[0].attn.q.weight)


def test_seeded_weights_are_a_function_of_the_seed_and_position_codes_are_built(small_shape: BackboneShape) -> None:
    one, same, other = (seeded_autoencoder(small_shape, DECODER, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["dec_linear.weight"], other["dec_linear.weight"])
    assert torch.equal(one["dec_embed_dict.sax.pos_embed"], position_code((2, 2, 8), DECODER.width))


def test_masks_are_a_function_of_seed_and_name_and_hide_the_share_asked_for() -> None:
    one = hidden_tokens(576, 0.75, 0, "3/case")
    assert int(one.sum()) == 432
    assert torch.equal(one, hidden_tokens(576, 0.75, 0, "3/case"))
    assert not torch.equal(one, hidden_tokens(576, 0.75, 0, "4/case"))
    assert not torch.equal(one, hidden_tokens(576, 0.75, 1, "3/case"))


@pytest.mark.parametrize("ratio", [0.0, 0.01, 1.0])
def test_a_ratio_that_hides_nothing_or_everything_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="expected some, and not all"):
        hidden_tokens(16, ratio, 0, "case")


def test_views_and_sizes_that_do_not_agree_are_refused(model: MaskedAutoencoder) -> None:
    images, hidden = batch(model)
    with pytest.raises(ValueError, match="the same views"):
        model.told(images, {})
    with pytest.raises(ValueError, match="takes"):
        model.told({"sax": torch.rand(2, 1, 48, 32, 8)}, hidden)


def test_another_models_tensors_are_refused_by_name(model: MaskedAutoencoder) -> None:
    tensors = model.state_dict()
    del tensors["dec_linear.bias"]
    with pytest.raises(ValueError, match=r"dec_linear\.bias"):
        model.load_strictly(tensors)


def disc(generator: torch.Generator) -> Tensor:
    """(1, 32, 32, 8): a disc of random centre, radius and brightness, the same in every slice."""
    centre, radius = 10 + 12 * torch.rand(2, generator=generator), 5 + 6 * torch.rand(1, generator=generator)
    along = torch.arange(32.0)
    inside = ((along[:, None] - centre[0]).square() + (along - centre[1]).square()).sqrt() < radius
    bright = 0.4 + 0.6 * torch.rand(1, generator=generator)
    return repeat(inside * bright, "x y -> 1 x y z", z=8)


@pytest.mark.slow
def test_what_is_seen_tells_more_of_what_is_hidden_than_its_position_does() -> None:
    shape = BackboneShape(
        sax=(32, 32, 8), frames=1, width=48, depth=3, heads=2, stem_channels=(8, 12), stem_blocks=1, patch=(2, 2, 1)
    )
    model = seeded_autoencoder(shape, DecoderShape(32, 2, 2), 0)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3, (0.9, 0.95))
    generator = torch.Generator().manual_seed(0)
    mean = torch.stack([disc(generator) for _ in range(500)]).mean(dim=0)
    errors, losses = [], []
    for step in range(500):
        images = torch.stack([disc(generator) for _ in range(8)])
        hidden = torch.stack([hidden_tokens(128, 0.75, 0, f"{step}/{number}") for number in range(8)])
        loss = model.loss({"sax": images}, {"sax": hidden})
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
        errors.append(float((images - mean).square().mean()))
    assert sum(losses[-50:]) < 0.6 * sum(errors[-50:])


def test_a_patch_of_zeros_has_a_finite_gradient() -> None:
    # with biases of 0 it would be 0 before every norm over channels, each of which would multiply by a thousand
    shape = BackboneShape(sax=(32, 32, 8), frames=1, width=24, depth=1, heads=2, stem_channels=(4, 6))
    model = seeded_autoencoder(shape, DECODER, 0)
    _, hidden = batch(model)
    model.loss({"sax": torch.zeros(2, 1, 32, 32, 8)}, hidden).backward()
    assert torch.stack([tensor.grad.norm() for tensor in model.parameters()]).norm() < 100


def test_stages_come_beside_the_features_of_a_plain_call() -> None:
    shape = BackboneShape(sax=(32, 32, 4), width=24, depth=1, heads=2, stem_channels=(4, 6), stem_blocks=1)
    model = seeded_autoencoder(shape, DECODER, 0)
    image = torch.rand(2, 2, 32, 32, 4, generator=torch.Generator().manual_seed(0))
    features, stages = model.with_stages(image, "sax")
    plain = model({"sax": image})
    assert all(torch.equal(features[name], plain[name]) for name in plain)
    assert [tuple(stage.shape) for stage in stages] == [(2, 4, 8, 8, 4), (2, 6, 4, 4, 4)]
    assert all(torch.equal(stage, skip) for stage, skip in zip(stages, model.stem("sax")(image)[1], strict=True))
    model.with_stages(image, "sax")
    assert len(stages) == 2  # a later call tells nobody of an earlier one
