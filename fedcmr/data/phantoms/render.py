"""A person's heart in a person's chest, seen by one scan: voxels and masks of every frame.

The chest is drawn once. The heart is drawn anew in every frame, in thin sub-slices whose mean is the slice, so the
partial volume of a thick slice is there where it hurts: at base and apex. A mask is what lies at the middle of a
slice. Contrast and texture enter as a `Look` alone; any other gives the same hearts in other clothes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedcmr.data.phantoms.acquire import draw_receiver, receive
from fedcmr.data.phantoms.cavities import paint_heart
from fedcmr.data.phantoms.heart import Heart
from fedcmr.data.phantoms.look import Look
from fedcmr.data.phantoms.painter import Field, smooth_noise
from fedcmr.data.phantoms.planes import ORIGIN_MM, Axes, heart_grid, patient_points, slice_heights
from fedcmr.data.phantoms.scanner import Acquisition
from fedcmr.data.phantoms.thorax import Thorax, paint_thorax

FLOW_MM = 16.0  # from crest to trough of the flow over the blood
LV, MYO, RV = 1, 2, 3  # the mask values of M&Ms


def render(
    rng: np.random.Generator,
    heart: Heart,
    body: Thorax,
    scan: Acquisition,
    axes: Axes,
    phases: Sequence[float],
    look: Look,
) -> Field:
    """Images of the given phases, (T, Z, X, Y), blood about 1.

    Args:
        rng: consumed in a fixed order: chest, receiver, then the noise of one frame after the other.
        phases: f of each frame, 0 end-diastole to 1 end-systole.
        look: contrast and textures.
    """
    edge = scan.profile.pixel_mm / min(scan.profile.acquired + 0.15, 1.0)
    points = patient_points(scan, axes, heart)
    below_base = (slice_heights(scan) + np.float32(14))[:, None, None]
    chest = paint_thorax(rng, body, points, below_base, look, edge, scan.profile.pixel_mm)
    receiver = draw_receiver(rng, scan, patient_points(scan, axes, heart, every=4), ORIGIN_MM.astype(np.float32))
    grid = heart_grid(scan, axes, heart)
    under = chest.reshape(len(chest), -1)[:, grid.inside]
    speckle = smooth_noise(rng, (len(chest), *scan.shape[:2]), max(2, round(3.5 / scan.profile.pixel_mm)), 0.8)
    grain = np.clip(speckle.reshape(len(chest), -1)[:, grid.inside], -2.5, 2.5)
    still, moved = _flows(rng, look, scan, grid.inside)
    frames = []
    for phase in phases:
        frame = chest.copy()
        textures = (grain, np.exp((1 - np.float32(phase)) * still + np.float32(phase) * moved))
        frame.reshape(len(chest), -1)[:, grid.inside] = paint_heart(heart, grid, under, textures, phase, look, edge)
        frames.append(receive(rng, receiver, frame))
    return np.stack(frames)


def _flows(rng: np.random.Generator, look: Look, scan: Acquisition, inside: NDArray[np.int64]) -> tuple[Field, Field]:
    """Logarithm of the flow's factor on blood at end-diastole and at end-systole, each (Z, P); draws only if needed."""
    rows, columns, slices = scan.shape
    if look.flow == 0:
        still = np.zeros((slices, len(inside)), np.float32)
        return still, still
    along, aside = (_hats(size * scan.profile.pixel_mm / FLOW_MM, size) for size in (rows, columns))
    coarse = rng.standard_normal((2, slices, along.shape[1], aside.shape[1]), dtype=np.float32)
    fields = np.float32(look.flow) * (along @ coarse @ aside.T).reshape(2, slices, -1)[..., inside]
    return fields[0], fields[1]


def _hats(length: float, size: int) -> Field:
    """Linear interpolation from knots one apart to `size` places over `length`, (size, knots)."""
    place = (np.arange(size) + 0.5) / size * length
    return np.clip(1 - np.abs(place[:, None] - np.arange(int(length) + 2)), 0, 1).astype(np.float32)


def masks(heart: Heart, scan: Acquisition, axes: Axes, phase: float) -> NDArray[np.uint8]:
    """Labels of one phase at the middle of each slice, (Z, X, Y): 1 LV cavity, 2 LV muscle, 3 RV cavity."""
    grid = heart_grid(scan, axes, heart)
    at = heart.contours(slice_heights(scan), phase)
    pick = (np.arange(len(grid.angle))[:, None], grid.angle)
    endo, epi, right = at.endo[pick], at.epi[pick], at.right[pick]
    label = np.zeros(grid.radius.shape, np.uint8)
    label[(grid.radius <= right) & (grid.radius > epi)] = RV
    label[grid.radius <= epi] = MYO
    label[grid.radius <= endo] = LV
    full = np.zeros((scan.shape[2], scan.shape[0] * scan.shape[1]), np.uint8)
    full[:, grid.inside] = label
    return full.reshape(scan.shape[2], scan.shape[0], scan.shape[1])


def cine_phases(frames: int, es_frame: int) -> list[float]:
    """f of each frame: 0 at frame 0, 1 at `es_frame`; contraction, rapid filling, rest, and the atria's last push.

    Args:
        frames: F >= 3. es_frame: 1 <= e < F.
    """
    systole = [float(np.sin(0.5 * np.pi * i / es_frame) ** 1.6) for i in range(es_frame + 1)]
    rest = frames - es_frame
    diastole = []
    for i in range(1, rest):
        share = i / rest
        filled = 0.74 * (1 / (1 + np.exp(-(share - 0.28) / 0.075))) + 0.26 / (1 + np.exp(-(share - 0.87) / 0.05))
        diastole.append(float(np.clip(1 - filled, 0, 1)))
    return systole + diastole
