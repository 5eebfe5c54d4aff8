from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fedcmr.data.cases import Case, Frame
from fedcmr.models.shape import BackboneShape
from fedcmr.pretrain import configured, parser
from fedcmr.pretraining.card import begin_card, read_card, write_weights
from fedcmr.pretraining.images import Sight
from fedcmr.pretraining.knobs import Knobs
from fedcmr.pretraining.material import Material
from fedcmr.reports.folder import claim

SHAPE = BackboneShape(sax=(32, 32, 4), width=24, depth=1, heads=2, stem_channels=(4, 6), stem_blocks=1)
FRAME = Frame(Path("none"), None, 0)
CASES = tuple(
    Case(code, client, "NOR", FRAME, FRAME, "training", (3, 2, 1), "phantom", vendor=vendor)
    for code, client, vendor in (("a", "vendorA", "siemens"), ("b", "vendorB", "philips"), ("c", "vendorB", "philips"))
)


def begun(folder: Path, *words: str) -> dict[str, object]:
    config = configured(parser().parse_intermixed_args(list(words)))
    knobs = config.of("pretrain", Knobs)
    material = Material(knobs, SHAPE, CASES, CASES, lambda pair, epoch: Sight(torch.zeros(2, 32, 32, 4), None))
    claim(folder, config)
    begin_card(folder, config, material, "2026-01-02", "python -m fedcmr.pretrain")
    return read_card(folder)


def test_a_card_names_objectives_patients_and_vendors(tmp_path: Path) -> None:
    card = begun(tmp_path, "pretrain.segment=0.5")
    assert card["objectives"] == {"masked": 1, "segment": 0.5}
    assert card["channels"] == "single"
    assert card["training_patients"] == {"vendorA": 1, "vendorB": 2}
    assert card["vendors_seen"] == ["philips", "siemens"]
    assert str(card["layout"]).endswith("the decoder that only pre-training uses")


def test_randomised_hearts_are_of_no_vendor(tmp_path: Path) -> None:
    card = begun(tmp_path, "data.style=randomised")
    assert "every scanner is drawn at random" in str(card["vendors_seen"])
    assert "style" in dict(card["data"])  # type: ignore[call-overload]


@pytest.mark.parametrize("heads", [{}, {"segment.tokens.bias": torch.ones(2)}])
def test_the_card_ends_with_the_curves_and_the_heads_that_are_there(
    tmp_path: Path, heads: dict[str, torch.Tensor]
) -> None:
    begun(tmp_path)
    write_weights(tmp_path, {"encoder.norm.weight": torch.ones(3)}, heads, {"loss": [2.0, 1.0], "dice": [0.1, 0.2]})
    card = read_card(tmp_path)
    assert card["curves"] == {"loss": [2.0, 1.0], "dice": [0.1, 0.2]}
    assert card["heads"] == ("heads.safetensors" if heads else None)
    assert (tmp_path / "heads.safetensors").exists() == bool(heads)
    if heads:
        assert load_file(tmp_path / "heads.safetensors").keys() == heads.keys()
