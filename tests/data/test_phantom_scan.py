import numpy as np
import pytest

from fedcmr.data.phantoms.acquire import Receiver, draw_receiver, receive
from fedcmr.data.phantoms.cohort import training_cohort
from fedcmr.data.phantoms.painter import Painter
from fedcmr.data.phantoms.scanner import PROFILES, common_profile, draw_acquisition, draw_vendor
from fedcmr.data.phantoms.subject import acquisition, draw_scan
from fedcmr.data.phantoms.tissues import banding, steady_state, tissue_signals


def test_steady_state_is_the_known_limit_for_short_repetition():
    # TR << T2: S = sin α / (1 + cos α + (1 - cos α) T1/T2); Scheffler and Lehnhardt, Eur Radiol 13:2409, 2003
    alpha = np.deg2rad(50)
    expected = np.sin(alpha) / (1 + np.cos(alpha) + (1 - np.cos(alpha)) * 1000 / 50)
    assert float(steady_state(1000, 50, 0.01, 50, 0.0)) == pytest.approx(expected, rel=1e-3)


def test_signal_is_dark_half_a_turn_off_resonance():
    assert float(steady_state(1000, 50, 3.0, 60, np.pi)) < 0.1 * float(steady_state(1000, 50, 3.0, 60, 0.0))
    profile = banding(np.array([0.0, 1000 / 6.0], np.float32), 1.5, 3.0, 60)
    np.testing.assert_allclose(profile, [1, 0], atol=0.1)


@pytest.mark.parametrize("field_t", [1.5, 3.0])
def test_blood_is_bright_muscle_dark_and_fat_of_opposite_sign(field_t):
    signals = tissue_signals(field_t, 3.0, 50)
    assert signals["blood"] == 1
    assert 0.15 < signals["myocardium"] < 0.45
    assert signals["lung"] < 0.1
    assert signals["fat"] < -0.3
    assert signals["myocardium"] < signals["liver"] < 1


def test_noise_is_rician():
    size = 64
    lines = np.arange(size)
    receiver = Receiver(np.ones((1, size, size), np.float32), lines, lines, np.ones((size, size), np.float32), 0.1)
    rng = np.random.default_rng(0)
    air = receive(rng, receiver, np.zeros((1, size, size), np.float32))
    blood = receive(rng, receiver, np.ones((1, size, size), np.float32))
    # no signal: Rayleigh, mean σ √(π/2); strong signal: Gaussian around √(1 + σ²), SD σ
    assert air.mean() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.03)
    assert blood.std() == pytest.approx(0.1, rel=0.05)
    assert blood.mean() == pytest.approx(np.sqrt(1.01), rel=0.01)


def test_the_stated_noise_is_that_of_a_real_scan():
    rng = np.random.default_rng(0)
    scan = draw_acquisition(rng, "A", PROFILES["A"], 96)
    points = tuple(np.zeros((scan.shape[2], scan.shape[0] // 4, scan.shape[1] // 4), np.float32) for _ in range(3))
    receiver = draw_receiver(rng, scan, points, np.zeros(3, np.float32))
    # a strong uniform signal, so that the magnitude is linear in the noise
    flat = np.full((scan.shape[2], scan.shape[0], scan.shape[1]), 5, np.float32)
    one, other = (receive(rng, receiver, flat.copy()) for _ in range(2))
    assert (one - other).std() / np.sqrt(2) == pytest.approx(scan.profile.noise, rel=0.05)


def test_a_painter_covers_by_the_share_of_a_voxel_that_is_filled():
    painter = Painter((3,), 2.0)
    painter.fill(np.array([-5.0, 0.0, 5.0], np.float32), 1.0)
    np.testing.assert_allclose(painter.image, [1, 0.5, 0])


def test_vendors_are_equal_without_shift_and_themselves_in_the_mean_with_it():
    assert draw_vendor(np.random.default_rng(0), "A", 0.0) == draw_vendor(np.random.default_rng(1), "C", 0.0)
    assert draw_vendor(np.random.default_rng(0), "A", 0.0) == common_profile()
    drawn = [draw_vendor(np.random.default_rng(seed), "C", 1.0).shading for seed in range(200)]
    assert np.mean(drawn) == pytest.approx(PROFILES["C"].shading, abs=0.01)


def test_a_scan_lies_in_its_limits_and_near_the_heart():
    away = []
    for seed in range(300):
        scan = draw_acquisition(np.random.default_rng(seed), "BD"[seed % 2], PROFILES["BD"[seed % 2]], 264)
        assert max(scan.shape[:2]) <= 264
        assert all(size % 8 == 0 for size in scan.shape[:2])
        assert 9 <= scan.shape[2] <= 14
        assert 2 < scan.thickness_mm <= scan.profile.spacing_mm
        away.append(np.hypot(*scan.offset_mm))
    assert np.median(away) == pytest.approx(13, abs=3)
    assert max(away) <= 79


def test_an_acquisition_row_holds_numbers_only():
    row = acquisition(draw_scan(training_cohort(0, 50, 1.0, 1.0, 6)[0]))
    assert all(np.isfinite(value) for value in row.values())
