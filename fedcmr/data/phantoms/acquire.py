"""From magnetisation to a stored image: coils, off-resonance bands, k-space, ghosts, noise, magnitude.

    image = | F⁻¹[ mask · window · (ghost · F[coil · band · signal] + noise) ] |

Noise is complex Gaussian in the measured part of k-space, so the magnitude is Rician and, where k-space was
zero-filled, correlated between pixels as in scanners' images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2, ifft2
from scipy.ndimage import zoom

from fedcmr.data.phantoms.scanner import Acquisition
from fedcmr.data.phantoms.tissues import banding

Field = NDArray[np.float32]
COIL_MM = 66.0  # reach of one coil element into the body


@dataclass(frozen=True)
class Receiver:
    """What all frames of a scan share.

    Args:
        gain: coil sensitivity times band profile, (Z, X, Y), about 1 at the heart.
        rows, columns: measured lines of k-space, indices in FFT order.
        weight: window times ghost modulation on them. noise: SD of a pixel's noise, blood = 1.
    """

    gain: Field
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    weight: Field
    noise: float


def draw_receiver(
    rng: np.random.Generator, scan: Acquisition, points: tuple[Field, Field, Field], heart: Field
) -> Receiver:
    """Coils, field map, and the way k-space is measured.

    Args:
        rng: consumed in a fixed order. points: x, y, z of every fourth row and column, (Z, X/4, Y/4) in mm.
        heart: (3,) position of the heart in the same axes.
    """
    profile = scan.profile
    gain = _coils(points, heart, profile.shading) * _bands(rng, scan, points, heart)
    full = (scan.shape[2], scan.shape[0], scan.shape[1])
    rows, columns = _measured(scan.shape[0], profile.acquired), _measured(scan.shape[1], profile.acquired)
    window = np.outer(_window(rows, scan.shape[0], profile.filter), _window(columns, scan.shape[1], profile.filter))
    every, turn = int(rng.integers(2, 5)), rng.uniform(0, 2 * np.pi)
    # breathing and beating modulate the lines of k-space; a period of n lines makes ghosts at 1/n of the field of view
    ghost = 1 + 2 * profile.ghosting * np.cos(2 * np.pi * columns / every + turn)
    noise = profile.noise / np.sqrt(np.mean(window**2) * len(rows) * len(columns) / (full[1] * full[2]))
    return Receiver(
        gain=_enlarge(gain, full),
        rows=rows,
        columns=columns,
        weight=(window * ghost[None, :]).astype(np.float32),
        noise=float(noise),
    )


def receive(rng: np.random.Generator, receiver: Receiver, signal: Field) -> Field:
    """The magnitude image of one frame.

    Args:
        signal: signed, (Z, X, Y), blood = 1; overwritten.
    Returns (Z, X, Y) float32, >= 0.
    """
    signal *= receiver.gain
    spectrum = fft2(signal, overwrite_x=True)
    lines = np.ix_(np.arange(len(signal)), receiver.rows, receiver.columns)
    kept = spectrum[lines] * receiver.weight
    noise = rng.standard_normal((*kept.shape, 2), dtype=np.float32).view(np.complex64)[..., 0]
    pixels = signal.shape[1] * signal.shape[2]
    noise *= np.float32(receiver.noise * np.sqrt(pixels))
    noise *= np.abs(receiver.weight)
    kept += noise
    spectrum[:] = 0
    spectrum[lines] = kept
    return np.abs(ifft2(spectrum, overwrite_x=True)).astype(np.float32)


def _coils(points: tuple[Field, Field, Field], heart: Field, shading: float) -> Field:
    x, y, z = points
    total = np.full(np.broadcast(x, y, z).shape, 0.06, np.float32)
    for left in (-70.0, 0.0, 75.0):
        for back, weight in ((-118.0, 1.0), (138.0, 0.55)):
            for head in (-55.0, 45.0):
                away = (x - left) ** 2 + (y - back) ** 2 + (z - head) ** 2
                total += weight * np.exp(-away / np.float32(2 * COIL_MM**2))
    at_heart = float(np.median(total[((x - heart[0]) ** 2 + (y - heart[1]) ** 2) < 60**2]))
    return np.asarray((total / np.float32(at_heart)) ** np.float32(shading), dtype=np.float32)


def _bands(rng: np.random.Generator, scan: Acquisition, points: tuple[Field, Field, Field], heart: Field) -> Field:
    x, y, z = ((axis - np.float32(centre)) / np.float32(100) for axis, centre in zip(points, heart, strict=True))
    slopes = rng.standard_normal(6) * (0.9, 0.9, 0.7, 0.6, 0.6, 0.6)
    smooth = (
        slopes[0] * x
        + slopes[1] * y
        + slopes[2] * z
        + slopes[3] * x * y
        + slopes[4] * (x**2 - y**2)
        + slopes[5] * (z**2 - 0.5 * x**2)
    )
    # lung beside heart above liver: the field bends at the inferolateral wall
    local = 1.4 * np.exp(-(((x - 0.35) / 0.35) ** 2) - ((y - 0.30) / 0.4) ** 2 - ((z + 0.15) / 0.4) ** 2)
    hertz = (
        scan.profile.inhomogeneity_hz * (2.0 if scan.field_t > 2 else 1.0) * (smooth + rng.choice((-1.0, 1.0)) * local)
    )
    return banding(hertz.astype(np.float32), scan.field_t, scan.profile.tr_ms, scan.profile.flip_deg)


def _measured(size: int, share: float) -> NDArray[np.int64]:
    reach = max(int(size * share / 2), 8)
    return np.concatenate([np.arange(reach), np.arange(size - reach, size)])


def _window(lines: NDArray[np.int64], size: int, strength: float) -> NDArray[np.float64]:
    signed = np.where(lines < size / 2, lines, lines - size)
    far = np.abs(signed) / np.abs(signed).max()
    return 1 - 0.45 * strength * (1 - np.cos(np.pi * far))


def _enlarge(coarse: Field, full: tuple[int, int, int]) -> Field:
    factors = (1, full[1] / coarse.shape[1], full[2] / coarse.shape[2])
    return np.asarray(zoom(coarse, factors, order=1, mode="nearest", grid_mode=True), dtype=np.float32)
