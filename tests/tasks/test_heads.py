"""Heads: shapes, names, parity with the foundation model's classifier."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from fedcmr.tasks.detection import Knobs, build
from fedcmr.tasks.heads import OwnedHeads, ViewHeads

HEADS = "pred_head_dict."


def features(B: int = 2, N: int = 5, D: int = 3) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return {"cls": torch.randn(B, 1, D, generator=random), "sax": torch.randn(B, N, D, generator=random)}


def test_a_head_has_the_foundation_models_names():
    assert list(ViewHeads(3, ("sax",), 2).state_dict()) == ["sax.weight", "sax.bias", "cls.weight", "cls.bias"]
    two = OwnedHeads({"global": ViewHeads(3, ("sax",), 2), "local": ViewHeads(3, ("sax",), 2)})
    assert "global.sax.weight" in two.state_dict()
    assert "local.cls.bias" in two.state_dict()


@pytest.mark.parametrize("reduce", ["all", "patch", "cls"])
def test_logits_are_the_mean_over_the_heads_that_speak(reduce):
    given, head = features(), ViewHeads(3, ("sax",), 2, reduce)
    patch = given["sax"].mean(dim=1) @ head["sax"].weight.T + head["sax"].bias
    cls = given["cls"][:, 0] @ head["cls"].weight.T + head["cls"].bias
    expected = {"all": (patch + cls) / 2, "patch": patch, "cls": cls}
    assert_close(head(given), expected[reduce])


def test_logits_of_two_owners_are_added():
    mine, ours = ViewHeads(3, ("sax",), 2), ViewHeads(3, ("sax",), 2)
    both = OwnedHeads({"global": ours, "local": mine})
    assert_close(both(features()), mine(features()) + ours(features()))


def parity(case: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    """(features, logits, loss and gradients; weights of the heads; labels) of the foundation model's own classifier."""
    folder = Path(__file__).resolve().parents[3] / "shared/fixtures/cinema_parity" / case
    if not folder.exists():
        pytest.skip("unproved: the parity fixtures are not there")
    weights = load_file(folder / "state_dict.safetensors")
    heads = {name.removeprefix(HEADS): tensor for name, tensor in weights.items() if name.startswith(HEADS)}
    return load_file(folder / "outputs.safetensors"), heads, load_file(folder / "inputs.safetensors")["label"]


@pytest.mark.parametrize("case", ["tiny_sax", "tiny_sax_lax", "tiny_lax"])
def test_logits_loss_and_gradients_are_the_foundation_models(case):
    outputs, heads, labels = parity(case)
    views = [name.removesuffix(".weight") for name in heads if name.endswith(".weight") and not name.startswith("cls")]
    given = {name: outputs[f"features.{name}"] for name in (*views, "cls")}
    for reduce in ("patch", "cls", "all"):
        head = ViewHeads(given["cls"].shape[2], views, heads["cls.bias"].shape[0], reduce)
        head.load_state_dict(heads)
        assert_close(head(given), outputs[f"logits.{reduce}"], rtol=1e-4, atol=2e-5)
    loss = build(Knobs()).loss(head(given), labels, torch.ones(heads["cls.bias"].shape[0]))
    assert_close(loss, outputs["loss"], rtol=1e-4, atol=2e-5)
    loss.backward()
    for name, tensor in head.named_parameters():
        assert_close(tensor.grad, outputs[f"grad.{HEADS}{name}"], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("views", [(), ("cls",)])
def test_a_head_without_a_view_of_its_own_is_refused(views):
    with pytest.raises(ValueError, match="views other than cls"):
        ViewHeads(3, views, 2)


def test_another_reduction_is_refused():
    with pytest.raises(ValueError, match=r"task\.reduce=max: expected one of all, patch, cls"):
        ViewHeads(3, ("sax",), 2, "max")
