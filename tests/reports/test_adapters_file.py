"""The tensors that a run leaves are read back bit by bit, with all that is needed to use them."""

from pathlib import Path

import pytest
import torch

from fedcmr.reports.adapters import adapter_folder, read_adapters, read_seen, write_adapters, write_seen

SHARED = {"head.sax.bias": torch.tensor([1.0, -2.0]), "head.sax.weight": torch.arange(6.0).reshape(3, 2).T}
KEPT = {"vendorA": {"encoder.blocks.5.attn.q.branches.local.A": torch.ones(2, 3)}, "vendorC": {}}
SAID = {"classes": ["NOR", "disease"], "threshold": 0.25, "alphas": {"global": 8.0}}


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_adapters(tmp_path, SHARED, KEPT, SAID)
    for name, wanted in {"global": SHARED, **KEPT}.items():
        tensors, said = read_adapters(tmp_path / f"{name}.safetensors")
        assert tensors.keys() == wanted.keys()
        assert all(torch.equal(tensors[key], tensor) for key, tensor in wanted.items())
        assert said == SAID


def test_each_fold_has_its_own_folder(tmp_path: Path) -> None:
    assert adapter_folder(tmp_path, 0, 1) == tmp_path / "adapters"
    assert adapter_folder(tmp_path, 3, 5) == tmp_path / "adapters" / "fold3"


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"global\.safetensors does not exist"):
        read_adapters(tmp_path / "global.safetensors")
    (tmp_path / "global.safetensors").write_text("junk")
    with pytest.raises(ValueError, match="no adapter of a run, or damaged"):
        read_adapters(tmp_path / "global.safetensors")


def test_the_images_that_were_seen_are_read_back(tmp_path: Path) -> None:
    write_seen(tmp_path, ["b", "a"])
    assert read_seen(tmp_path) == {"a", "b"}
