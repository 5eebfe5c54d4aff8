"""Heads on features, with numbers that can be worked out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.models.decoder import DecoderShape
from fedcmr.models.masked import MaskedAutoencoder, seeded_autoencoder
from fedcmr.models.shape import BackboneShape
from fedcmr.pretraining.objectives import Measure, Segment, compared, soft_dice
from fedcmr.pretraining.targets import MEASURES, SHARES, measured

SHAPE = BackboneShape(sax=(32, 32, 4), width=24, depth=1, heads=2, stem_channels=(4, 6), stem_blocks=1)


def autoencoder(shape: BackboneShape = SHAPE) -> MaskedAutoencoder:
    return seeded_autoencoder(shape, DecoderShape(8, 1, 2), 0)


def shares(count: int = 2, side: int = 8, slices: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 2, 4, side, side, slices, generator=generator).softmax(dim=2)


def certain(told: Tensor) -> Tensor:
    """Logits of these shares."""
    return told.clamp(min=1e-9).log()


def test_answers_lie_on_the_grid_of_the_shares() -> None:
    model = autoencoder()
    image = torch.rand(2, 2, 32, 32, 4)
    features, stages = model.with_stages(image, "sax")
    fine, cells = Segment(model, 0)(features, stages)
    assert fine.shape == shares().shape
    assert cells.shape == (2, 2, 3, 2, 2, 4)  # tokens of 16 x 16 pixels are one cell each, no background
    assert Measure(model, ["lv_ef", "rv_ef"], 0)(features).shape == (2, 2, 2)


def test_what_a_token_tells_stays_at_its_place() -> None:
    model = autoencoder(replace(SHAPE, sax=(64, 32, 4)))
    head = Segment(model, 0)
    features = {"sax": torch.zeros(1, 4 * 2 * 4, 24)}
    stages = [torch.zeros(1, channels, 64 // side, 32 // side, 4) for channels, side in ((4, 4), (6, 8))]
    before, _ = head(features, stages)
    features["sax"][0, (3 * 2 + 1) * 4 + 2] = 1.0  # row 3, column 1, slice 2
    changed = (head(features, stages)[0] != before)[0].any(dim=0).any(dim=0)
    expected = torch.zeros(16, 8, 4, dtype=torch.bool)
    expected[12:16, 4:8, 2] = True
    assert torch.equal(changed, expected)


def test_equal_answers_everywhere_cost_what_the_formula_says() -> None:
    # every class 1/4 told; truth is background alone: 4 · 0.4 · log 4, and Dice 1 / (Σ p + 1) with p = 1/4 of 256
    truth = torch.zeros(1, 2, 4, 8, 8, 4)
    truth[:, :, 0] = 1
    loss, dice = compared(torch.zeros(1, 2, 4, 8, 8, 4), truth)
    assert_close(dice, torch.tensor(1 / 65))
    assert_close(loss, torch.tensor(4 * 0.4 * math.log(4) + 0.3 * (1 - 1 / 65)))


def test_a_cell_costs_its_squared_error() -> None:
    model = autoencoder()
    head = Segment(model, 0)
    with torch.no_grad():
        for part in head.parameters():
            part.zero_()
        head.cells.bias.fill_(0.25)
    truth = torch.zeros(1, 2, 4, 8, 8, 4)
    truth[:, :, 0] = 1
    features, stages = model.with_stages(torch.rand(1, 2, 32, 32, 4), "sax")
    told = head.losses(features, stages, {SHARES: truth})["segment"]
    outlines, _ = compared(torch.zeros(1, 2, 4, 8, 8, 4), truth)
    assert_close(told, outlines + 50 * 0.25**2)


def test_the_mean_token_tells_volumes_by_the_map_of_the_cells() -> None:
    model = autoencoder()
    head = Segment(model, 0)
    features, stages = model.with_stages(torch.rand(2, 2, 32, 32, 4), "sax")
    _, cells = head(features, stages)
    assert_close(head.cells(features["sax"].mean(dim=1)), cells.mean(dim=(3, 4, 5)).flatten(1))


def test_the_true_shares_cost_least() -> None:
    truth = shares()
    best, _ = compared(certain(truth), truth)
    for other in (truth.roll(1, dims=3), truth.roll(1, dims=2), truth**2):
        assert compared(certain(other), truth)[0] > best + 1e-3


def test_coarser_answers_are_compared_with_the_mean_of_finer_shares() -> None:
    truth = shares()
    halves = truth.unflatten(3, (4, 2)).unflatten(5, (4, 2)).mean(dim=(4, 6))
    assert_close(compared(certain(halves), truth), compared(certain(halves), halves))


def test_dice_counts_structures_and_not_the_background() -> None:
    truth = torch.zeros(1, 1, 4, 2, 2, 2)
    truth[:, :, 3] = 1
    assert_close(soft_dice(truth, truth), torch.ones(1, 1, 3))
    told = truth.clone()
    told[:, :, 3, 0], told[:, :, 0, 0] = 0, 1
    assert_close(soft_dice(told, truth)[0, 0], torch.tensor([1, 1, (2 * 4 + 1) / (4 + 8 + 1)]))


def test_measures_that_are_not_there_are_not_asked() -> None:
    model = autoencoder()
    features = {"cls": torch.zeros(2, 1, 24), "sax": torch.zeros(2, 16, 24)}
    truth = shares(2, 48, 16)
    truth[1, :, 3] = 0  # the second patient has no left cavity in the stack
    wanted = measured(truth)
    head = Measure(model, ["lv_ef"], 0)
    # heads on nothing tell 0, and |error| > 1 costs |error| - 1/2
    error = abs(float(wanted[0, 2]))
    expected = error - 0.5 if error > 1 else error**2 / 2
    assert_close(head.losses(features, [], {SHARES: truth})["measure"], torch.tensor(expected))


@pytest.mark.parametrize("names", [("lv_edv",), ("rv_ef", "lv_mass"), tuple(MEASURES)])
def test_only_the_measures_that_are_named_are_asked(names: tuple[str, ...]) -> None:
    head = Measure(autoencoder(), names, 0)
    features = {"cls": torch.zeros(2, 1, 24), "sax": torch.zeros(2, 16, 24)}
    truth = shares(2, 48, 16)
    told = measured(truth)[:, [list(MEASURES).index(name) for name in names]]
    one, first = {SHARES: truth[:1]}, {name: part[:1] for name, part in features.items()}
    with torch.no_grad():
        head.cls.bias.copy_(told[0])
        half = head.losses(first, [], one)["measure"]
        head.mean.bias.copy_(told[0])
    assert float(half) > 1e-3  # the class token's answer does not speak for the mean token
    assert float(head.losses(first, [], one)["measure"].detach()) < 1e-10


def test_a_stem_that_coarse_voxels_do_not_fill_is_refused() -> None:
    with pytest.raises(ValueError, match=r"patches of \(2, 2, 1\) voxels; expected multiples of 4"):
        Segment(autoencoder(replace(SHAPE, patch=(2, 2, 1))), 0)
