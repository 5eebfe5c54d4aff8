"""Heads: shapes, names, starting values."""

import pytest
import torch
from torch.testing import assert_close

from fedcmr.tasks.heads import OwnedHeads, ViewHeads, start


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


def test_starting_values_are_a_function_of_seed_and_name():
    first = start(ViewHeads(16, ("sax",), 2), 0)
    assert list(first) == ["head.sax.weight", "head.sax.bias", "head.cls.weight", "head.cls.bias"]
    again = start(ViewHeads(16, ("sax",), 2), 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.sax.weight"], start(ViewHeads(16, ("sax",), 2), 1)["head.sax.weight"])
    assert not torch.equal(first["head.sax.weight"], first["head.cls.weight"])
    assert all(tensor.abs().max() <= 0.25 for tensor in first.values())


def test_owners_start_with_different_heads():
    both = start(OwnedHeads({owner: ViewHeads(16, ("sax",), 2) for owner in ("global", "local")}), 0)
    assert not torch.equal(both["head.global.sax.weight"], both["head.local.sax.weight"])


@pytest.mark.parametrize("views", [(), ("cls",)])
def test_a_head_without_a_view_of_its_own_is_refused(views):
    with pytest.raises(ValueError, match="views other than cls"):
        ViewHeads(3, views, 2)


def test_another_reduction_is_refused():
    with pytest.raises(ValueError, match=r"task\.reduce=max: expected one of all, patch, cls"):
        ViewHeads(3, ("sax",), 2, "max")
