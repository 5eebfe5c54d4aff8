import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fedcmr.models import tiny
from fedcmr.models.decoder import DecoderShape
from fedcmr.models.mapping import to_foundation
from fedcmr.models.masked import seeded_autoencoder
from fedcmr.models.shape import BackboneShape
from fedcmr.tasks.heads import ViewHeads


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


def pretrained(folder: Path) -> Path:
    model = seeded_autoencoder(replace(tiny.SHAPE, frames=1), DecoderShape(16, 1, 2), 5)
    save_file(model.state_dict(), folder / "weights.safetensors")
    return folder / "weights.safetensors"


def test_weights_of_a_pretraining_are_taken_and_named_by_file_and_hash(tmp_path: Path) -> None:
    file = pretrained(tmp_path)
    backbone = tiny.build(tiny.Knobs(path=str(file)))
    stored = load_file(file)
    assert torch.equal(backbone.encoder.blocks[5].mlp.fc1.weight, stored["encoder.blocks.5.mlp.fc1.weight"])
    assert "pre-trained" in backbone.provenance
    assert hashlib.sha256(file.read_bytes()).hexdigest() in backbone.provenance
    assert backbone.digest() != tiny.build(tiny.Knobs()).digest()
    assert not any(tensor.requires_grad for tensor in backbone.parameters())


def test_weights_of_a_classifier_are_taken_without_its_heads(tmp_path: Path) -> None:
    backbone = tiny.build(tiny.Knobs(weights_seed=3))
    file = tmp_path / "classifier.safetensors"
    save_file(to_foundation(backbone, ViewHeads(backbone.width, backbone.views, 2)), file)
    loaded = tiny.build(tiny.Knobs(path=str(file)))
    assert loaded.digest() == backbone.digest()
    assert "classifier" in loaded.provenance


def test_weights_of_another_size_are_refused(tmp_path: Path, small_shape: BackboneShape) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(seeded_autoencoder(replace(small_shape, frames=1), DecoderShape(16, 1, 2), 0).state_dict(), file)
    with pytest.raises(ValueError, match="wrongly shaped"):
        tiny.build(tiny.Knobs(path=str(file)))


def test_a_seed_beside_a_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no effect"):
        tiny.Knobs(weights_seed=1, path="weights.safetensors")
