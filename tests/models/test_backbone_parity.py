"""The backbone against tensors of the published implementation, where those are at hand."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fedcmr.models.backbone import TOKENS, Backbone
from fedcmr.models.mapping import classifier_part, from_foundation, load_pretrained, to_foundation
from fedcmr.models.positions import position_code
from fedcmr.models.shape import BackboneShape
from fedcmr.tasks.heads import ViewHeads

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "cinema_parity"
CLASSIFIERS = (
    "tiny_sax",
    "tiny_sax_rect",
    "tiny_sax_pad",
    "tiny_lax",
    "tiny_sax_lax",
    "tiny_eps",
    "tiny_released_name",
)
PRETRAINED = ("tiny_mae", "tiny_mae_2view")
TOLERANCE = {"rtol": 1e-4, "atol": 2e-5}
ALL_VIEWS = ("sax", "lax_2c", "lax_3c", "lax_4c")


def tensors_of(case: str, what: str) -> dict[str, Tensor]:
    path = FIXTURES / case / f"{what}.safetensors"
    if not path.exists():
        pytest.skip(f"unproved: no {path.name} of {case} beside the repository")
    return load_file(path)


def config_of(case: str) -> dict:
    path = FIXTURES / case / "config.json"
    if not path.exists():
        pytest.skip(f"unproved: no {path.name} of {case} beside the repository")
    return json.loads(path.read_text())


def shape_of(cfg: dict, views: tuple[str, ...], frames: int) -> BackboneShape:
    vit = cfg["vit_cfg"]
    return BackboneShape(
        views=views,
        sax=tuple(cfg.get("sax", (192, 192, 16))),
        lax=tuple(cfg.get("lax", (256, 256))),
        frames=frames,
        width=vit["enc_embed_dim"],
        depth=vit["enc_depth"],
        heads=vit["enc_n_heads"],
        stem_channels=tuple(cfg.get("conv_chans", (64, 128))),
        stem_blocks=cfg.get("n_blocks", 2),
    )


def classifier(case: str) -> tuple[Backbone, ViewHeads]:
    cfg = config_of(case)["cfg"]
    views = tuple(cfg.get("views", ("sax",)))
    backbone = Backbone(shape_of(cfg, views, 2), "fixture")
    head = ViewHeads(backbone.width, views, cfg["n_classes"])
    from_foundation(backbone, head, tensors_of(case, "state_dict"))
    return backbone, head


def images_of(inputs: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): tensor for name, tensor in inputs.items() if name.startswith(start)}


def check_features(backbone: Backbone, head: ViewHeads, images: dict[str, Tensor], wanted: dict, start: str) -> None:
    prefix = backbone.prefix(images, backbone.depth)
    assert_close(backbone.encoder.norm(prefix[TOKENS]), wanted[f"{start}encoder.out"], **TOLERANCE)
    features = backbone(images)
    for name, tensor in features.items():
        assert_close(tensor, wanted[f"{start}features.{name}"], **TOLERANCE)
    check_logits(head, features, wanted, start)


def check_logits(head: ViewHeads, features: dict[str, Tensor], wanted: dict, start: str) -> None:
    views = [view for view in features if view != "cls"]
    for reduce in ("all", "patch", "cls"):
        speaking = ViewHeads(head["cls"].in_features, views, head["cls"].out_features, reduce)
        speaking.load_state_dict(head.state_dict())
        assert_close(speaking(features), wanted[f"{start}logits.{reduce}"], **TOLERANCE)


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_features_and_logits_are_the_published_ones(case: str) -> None:
    backbone, head = classifier(case)
    images = images_of(tensors_of(case, "inputs"), "image.")
    check_features(backbone, head, images, tensors_of(case, "outputs"), "")


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_every_block_and_every_stage_of_the_stem_is_the_published_one(case: str) -> None:
    backbone, _ = classifier(case)
    images = images_of(tensors_of(case, "inputs"), "image.")
    wanted = tensors_of(case, "outputs")
    for index in range(backbone.depth):
        assert_close(backbone.prefix(images, index + 1)[TOKENS], wanted[f"encoder.block{index}"], **TOLERANCE)
    for view, image in images.items():
        stem = backbone.enc_down_dict[view]
        tokens, skips = stem(image)
        assert_close(tokens - stem.pos_embed, wanted[f"{view}.tokens_before_pos"], **TOLERANCE)
        for index, skip in enumerate(skips):
            assert_close(skip, wanted[f"{view}.stem{index}.skip"], **TOLERANCE)
            shrunk = stem.conv_blocks[index].patch_embed(skips[index - 1] if index else image)
            assert_close(shrunk, wanted[f"{view}.stem{index}.patch_embed"], **TOLERANCE)


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_loss_and_all_gradients_are_the_published_ones(case: str) -> None:
    backbone, head = classifier(case)
    inputs, wanted = tensors_of(case, "inputs"), tensors_of(case, "outputs")
    parameters = dict(backbone.named_parameters())
    parameters |= {f"pred_head_dict.{name}": tensor for name, tensor in head.named_parameters()}
    for tensor in parameters.values():
        tensor.requires_grad_(True)
    loss = cross_entropy(head(backbone(images_of(inputs, "image."))), inputs["label"], label_smoothing=0.1)
    loss.backward()
    assert_close(loss.detach(), wanted["loss"], **TOLERANCE)
    assert set(parameters) == set(images_of(wanted, "grad."))
    for name, tensor in parameters.items():
        assert_close(tensor.grad, wanted[f"grad.{name}"], **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("case", [case for case in CLASSIFIERS if case != "tiny_eps"])
def test_built_position_code_is_the_published_one_before_anything_is_loaded(case: str) -> None:
    cfg = config_of(case)["cfg"]
    shape = shape_of(cfg, tuple(cfg.get("views", ("sax",))), 2)
    stored = tensors_of(case, "state_dict")
    for view in shape.views:
        grid = [size // patch for size, patch in zip(shape.image(view), (16, 16, 1), strict=False)]
        assert_close(position_code(grid, shape.width), stored[f"enc_down_dict.{view}.pos_embed"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("case", ["tiny_sax", "tiny_lax"])
def test_a_second_image_size_is_met_by_interpolation_as_published(case: str) -> None:
    backbone, head = classifier(case)
    images = images_of(tensors_of(case, "inputs"), "interp.image.")
    check_features(backbone, head, images, tensors_of(case, "outputs"), "interp.")


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_written_and_read_under_the_published_names_a_model_is_the_same(case: str) -> None:
    backbone, head = classifier(case)
    stored, written = tensors_of(case, "state_dict"), to_foundation(backbone, head)
    assert written.keys() == stored.keys()
    assert all(torch.equal(written[name], stored[name]) for name in stored)


@pytest.mark.parametrize("case", PRETRAINED)
def test_pretrained_encoder_becomes_the_published_classifier(case: str) -> None:
    config, wanted = config_of(case), tensors_of(case, "clf_state_dict")
    cfg = config["clf_cfg"]
    views = tuple(cfg["views"])
    backbone = Backbone(shape_of(cfg, views, 2), "fixture")
    load_pretrained(backbone, tensors_of(case, "state_dict"))
    mapped = backbone.foundation()
    assert mapped.keys() | set(config["trainable_after_mapping"]) == wanted.keys()
    assert len(mapped) == config["frozen_after_mapping"]
    for name, tensor in mapped.items():
        assert_close(tensor, wanted[name], rtol=0, atol=2e-6 if name.endswith("pos_embed") else 0)
    head = ViewHeads(backbone.width, views, cfg["n_classes"])
    head.load_state_dict(images_of(wanted, "pred_head_dict."))
    images = images_of(tensors_of(case, "inputs"), "clf.image.")
    outputs = tensors_of(case, "outputs")
    check_features(backbone, head, images, outputs, "clf.")
    for view, image in images.items():
        stem = backbone.enc_down_dict[view]
        assert_close(stem(image)[0] - stem.pos_embed, outputs[f"clf.{view}.tokens_before_pos"], **TOLERANCE)


@pytest.mark.parametrize("case", PRETRAINED)
def test_pretrained_features_of_all_views_and_of_one_are_the_published_ones(case: str) -> None:
    cfg, inputs, wanted = config_of(case)["cfg"], tensors_of(case, "inputs"), tensors_of(case, "outputs")
    backbone = Backbone(shape_of(cfg, ALL_VIEWS, 1), "fixture")
    load_pretrained(backbone, tensors_of(case, "state_dict"))
    images = images_of(inputs, "image.")
    for start, given in (("features_all.", images), ("features_sax.", {"sax": images["sax"]})):
        for name, tensor in backbone(given).items():
            assert_close(tensor, wanted[start + name], **TOLERANCE)


@pytest.mark.parametrize(
    ("file", "views", "classes"),
    [
        ("clf_base_sax_2f_5c", ("sax",), 5),
        ("clf_base_sax_2f_6c", ("sax",), 6),
        ("clf_base_lax4c_2f_6c", ("lax_4c",), 6),
        ("clf_base_lax4c_2f_3c_vendor", ("lax_4c",), 3),
    ],
)
def test_names_and_shapes_are_those_of_the_released_files(file: str, views: tuple[str, ...], classes: int) -> None:
    listed = released(file)
    with torch.device("meta"):
        backbone, head = Backbone(BackboneShape(views=views), "meta"), ViewHeads(768, views, classes)
    own = {name: tuple(tensor.shape) for name, tensor in backbone.foundation().items()}
    own |= {f"pred_head_dict.{name}": tuple(tensor.shape) for name, tensor in head.state_dict().items()}
    assert own == listed


def test_every_name_of_the_released_pretraining_is_accounted_for() -> None:
    stored = {name: torch.empty(shape, device="meta") for name, shape in released("mae_base").items()}
    with torch.device("meta"):
        backbone = Backbone(BackboneShape(), "meta")
    used = classifier_part(stored, ("sax",), 2)
    own = {name: tensor.shape for name, tensor in backbone.foundation().items() if not name.endswith("pos_embed")}
    assert len(stored) == 603
    assert len(used) == 245
    assert {name: tensor.shape for name, tensor in used.items()} == own


def released(file: str) -> dict[str, tuple[int, ...]]:
    path = FIXTURES / "keys" / f"{file}.txt"
    if not path.exists():
        pytest.skip(f"unproved: no {path.name} beside the repository")
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    return {row[0]: tuple(json.loads(row[1].replace("(", "[").replace(",)", "]").replace(")", "]"))) for row in rows}
