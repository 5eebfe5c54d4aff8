"""Shares and measures, on masks whose voxels can be counted."""

import pytest
import torch
from torch.testing import assert_close

from fedcmr.pretraining.targets import COARSE_ML, MEASURES, class_shares, measured


def test_a_coarse_voxel_is_16_voxels_of_a_hundredth_of_a_millilitre() -> None:
    assert pytest.approx(0.16) == COARSE_ML


def test_shares_count_the_voxels_of_each_structure() -> None:
    masks = torch.zeros(1, 8, 4, 2, dtype=torch.uint8)
    masks[0, 0, 0, 0] = 1  # right ventricle: 1 of 16
    masks[0, 1, :, 0] = 2  # myocardium: 4 of 16
    masks[0, 4:, :, 1] = 3  # left ventricle: all of the other one, a slice further
    shares = class_shares(masks)
    assert shares.shape == (1, 4, 2, 1, 2)
    assert_close(shares[0, :, 0, 0, 0], torch.tensor([11, 1, 4, 0]) / 16)
    assert_close(shares[0, :, 1, 0, 1], torch.tensor([0.0, 0, 0, 1]))
    assert_close(shares.sum(dim=1), torch.ones(1, 2, 1, 2))


def raw(shares: torch.Tensor) -> dict[str, float]:
    mean, deviation = torch.tensor(list(MEASURES.values())).T
    return dict(zip(MEASURES, (measured(shares) * deviation + mean)[0].tolist(), strict=True))


def test_measures_are_volumes_mass_and_ef() -> None:
    # 96 x 96 x 16 coarse voxels; whole ones of 0.16 ml
    shares = torch.zeros(1, 2, 4, 48, 48, 16)
    for frame, (rv, muscle, lv) in enumerate([(1000, 500, 800), (600, 450, 300)]):
        for label, count in ((1, rv), (2, muscle), (3, lv)):
            shares[0, frame, label].view(-1)[:count] = 1
    expected = {"lv_edv": 128.0, "lv_esv": 48.0, "lv_ef": 0.625, "lv_mass": 84.0}
    expected |= {"rv_edv": 160.0, "rv_esv": 96.0, "rv_ef": 0.4}
    assert raw(shares) == pytest.approx(expected, rel=1e-4)


def test_the_ef_of_a_ventricle_that_is_not_there_is_no_number() -> None:
    shares = torch.zeros(1, 2, 4, 48, 48, 16)
    shares[0, :, 3, 0, 0, 0] = 1
    told = measured(shares)[0]
    assert told.isnan().tolist() == [name.endswith("_ef") for name in MEASURES]
