import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

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


def test_the_embedded_weights_are_those_of_their_card_and_small() -> None:
    content = tiny.FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == tiny.card()["weights_sha256"]
    assert len(content) <= 12_000_000
    assert str(tiny.card()["weights_sha256"]) in tiny.build(tiny.Knobs()).provenance


def test_the_card_says_what_a_user_has_to_know() -> None:
    card = tiny.card()
    asked = {"data", "recipe", "command", "seed", "began", "scores", "limits", "vendors_seen", "licence", "use"}
    assert asked <= card.keys()
    assert card["data"]["name"] == "phantom"
    assert "vendorD" not in card["clients_seen"]


def test_weights_that_are_not_those_of_the_card_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tiny.safetensors"
    tensors = load_file(tiny.FILE)
    tensors["encoder.cls_token"] += 1
    save_file(tensors, file)
    monkeypatch.setattr(tiny, "FILE", file)
    with pytest.raises(ValueError, match="not that of its card"):
        tiny.build(tiny.Knobs())


def test_random_weights_depend_on_their_own_seed_alone_and_say_what_they_are() -> None:
    torch.manual_seed(3)
    first = tiny.build(tiny.Knobs(weights="random"))
    torch.manual_seed(4)
    assert tiny.build(tiny.Knobs(weights="random")).digest() == first.digest()
    assert tiny.build(tiny.Knobs(weights="random", weights_seed=1)).digest() != first.digest()
    assert "not pre-trained" in first.provenance


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"weights": "random", "weights_seed": -1}, "weights_seed"),
        ({"weights": "randm"}, "expected embedded or random"),
        ({"weights_seed": 1}, "no effect"),
        ({"weights": "random", "path": "weights.safetensors"}, "no effect"),
        ({"weights_seed": 1, "path": "weights.safetensors"}, "no effect"),
    ],
)
def test_knobs_that_make_no_sense_are_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tiny.Knobs(**knobs)


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
    backbone = tiny.build(tiny.Knobs(weights="random", weights_seed=3))
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
