"""The beating heart in pixels: ventricles from their closed-form walls; atria, outflow and aortic root as simple
solids above the rings.
"""

import numpy as np
from numpy.typing import NDArray

from fedcmr.data.phantoms.heart import ANGLES, THETA, Contours, Heart
from fedcmr.data.phantoms.look import Look
from fedcmr.data.phantoms.painter import Field, Painter
from fedcmr.data.phantoms.planes import SUBSLICES, Grid

Half = NDArray[np.floating] | float
PERICARDIUM_RESTS = 0.75  # share of the end-diastolic outline that is kept; our choice


def paint_heart(
    heart: Heart,
    grid: Grid,
    under: Field,
    textures: tuple[Field, Field],
    phase: float,
    look: Look,
    edge_mm: float,
) -> Field:
    """The heart over what lies under it: fat, right wall and cavity, left wall and cavity, papillary muscles, then
    all above the rings.

    Args:
        under: chest at the same pixels, (Z, P).
        textures: grain of tissue and blood, of variance 1, and the flow's factor on blood, (Z, P).
    Returns (Z, P): mean of the sub-slices.
    """
    total = np.zeros_like(under)
    signals, (grain, flow) = look.signals, textures
    still = np.float32(signals["blood"]) * flow
    blood = still * (1 + np.float32(0.035 * look.grain["blood"]) * grain)
    muscle = np.float32(signals["myocardium"]) * (1 + np.float32(0.09 * look.grain["myocardium"]) * grain)
    # trabeculae of the right ventricle are finer than a slice is thick: dark grains in its blood
    fleck = np.float32(0.16 * look.trabeculae)
    right_blood = blood * (np.float32(0.90 * look.right_blood) - fleck * np.clip(grain - np.float32(0.2), 0, 2))
    for thin in range(SUBSLICES):
        heights = grid.heights[:, thin]
        painter = Painter(under.shape, edge_mm)
        painter.image[:] = under
        at = heart.contours(heights, phase)
        rest = heart.contours(heights, 0.0)
        _paint_fat(painter, heart, grid, (at, rest), look)
        _paint_right(painter, heart, grid, at, phase, (muscle, right_blood), look)
        scar = np.float32(signals["scar"] - signals["myocardium"]) if heart.targets.group == "MINF" else np.float32(0)
        _paint_left(painter, heart, grid, at, phase, (muscle, blood, scar), look)
        _paint_above(painter, heart, grid, heights, phase, still, look)
        total += painter.image
    return np.asarray(total / np.float32(SUBSLICES), dtype=np.float32)


def _look_up(table: Field, grid: Grid) -> Field:
    return table.ravel().take(grid.angle + (np.arange(len(table), dtype=np.int32) * ANGLES)[:, None])


def _paint_fat(painter: Painter, heart: Heart, grid: Grid, phases: tuple[Contours, Contours], look: Look) -> None:
    # the pericardium hardly moves: what the ventricles leave in systole is filled by the fat around them
    now, before = (np.maximum(c.right + 3.2, c.epi) for c in phases)
    outer = np.maximum(now, PERICARDIUM_RESTS * before + (1 - PERICARDIUM_RESTS) * np.maximum(now, 0))
    groove = heart.fat_mm * (0.55 + 1.1 * np.exp(-((phases[0].zeta / 0.25) ** 2)))[:, None]
    # thick over the right ventricle and in the grooves at both insertions, thin where the lateral wall meets the lung
    side = 0.55 + 0.40 * np.cos(THETA) + 0.5 * np.exp(-(((np.abs(THETA) - 1.2) / 0.3) ** 2))
    rim = np.where(before > 0, outer + groove * side, -1000).astype(np.float32)
    painter.fill(grid.radius - _look_up(rim, grid), np.float32(0.9 * look.signals["fat"]))
    if look.effusion_mm:
        filled = np.where(before > 0, outer + look.effusion_mm, -1000).astype(np.float32)
        painter.fill(grid.radius - _look_up(filled, grid), np.float32(look.signals["fluid"]))


def _paint_right(
    painter: Painter,
    heart: Heart,
    grid: Grid,
    at: Contours,
    phase: float,
    tissues: tuple[Field, Field],
    look: Look,
) -> None:
    muscle, blood = tissues
    if not (at.right > 0).any():
        return
    # the radius runs aslant to the wall where the outline turns: true distance = radial distance · cosine
    slope = _look_up(_cosine(at.right), grid)
    radial = grid.radius - _look_up(at.right, grid)
    # at the insertions the outline is nearly radial; a wall must not reach out along the ray there
    free = np.maximum(radial * slope, radial - np.float32(3))
    painter.fill(free - np.float32(look.right_wall * (2.0 + 1.4 * phase)), muscle)
    rough = look.trabeculae * (1.5 + 3.0 * np.clip(at.zeta_right, 0, 1))[:, None] * _texture(heart, at.zeta_right)
    painter.fill(free, np.float32(0.6) * blood + np.float32(0.4) * muscle)
    painter.fill(free + _look_up(rough.astype(np.float32), grid), blood)


def _cosine(radius: Field) -> Field:
    change = (np.roll(radius, -1, axis=1) - np.roll(radius, 1, axis=1)) / np.float32(4 * np.pi / ANGLES)
    return (1 / np.sqrt(1 + np.clip(change / np.maximum(radius, 1), -6, 6) ** 2)).astype(np.float32)


def _texture(heart: Heart, zeta: Field) -> Field:
    return heart.texture[np.clip((zeta * len(heart.texture)).astype(int), 0, len(heart.texture) - 1)]


def _paint_left(
    painter: Painter,
    heart: Heart,
    grid: Grid,
    at: Contours,
    phase: float,
    tissues: tuple[Field, Field, np.float32],
    look: Look,
) -> None:
    muscle, blood, scar = tissues
    wall = muscle if scar == 0 else muscle + scar * _look_up(heart.disease(at.zeta).astype(np.float32), grid)
    painter.fill(grid.radius - _look_up(at.epi, grid), wall)
    rim = np.clip(at.endo, 0, None)
    depth = (2.2 + 4.4 * np.clip(at.zeta, 0, 1))[:, None] * _texture(heart, at.zeta) * np.clip(rim / 20, 0, 1)
    rough = np.where(at.endo > 0, np.maximum(rim - look.trabeculae * depth, 0.3 * rim), -1000).astype(np.float32)
    painter.fill(grid.radius - _look_up(at.endo, grid), np.float32(0.5) * (blood + muscle))
    painter.fill(grid.radius - _look_up(rough, grid), blood)
    heads = ((0.0, look.papillary), (0.34, 0.62 * look.papillary))  # each muscle has a smaller head beside it
    for angle in heart.papillary:
        for aside, share in heads:
            _paint_papillary(painter, grid, at, angle + aside, share, phase, muscle)


def _paint_papillary(
    painter: Painter, grid: Grid, at: Contours, angle: float, share: float, phase: float, muscle: Field
) -> None:
    cavity = at.endo[:, round(angle * ANGLES / (2 * np.pi)) % ANGLES]
    rows = np.flatnonzero((at.zeta > 0.28) & (at.zeta < 0.84) & (cavity > 5))
    if not len(rows):
        return
    zeta, room = at.zeta[rows], cavity[rows]
    thick = share * (4.6 + 0.9 * phase) * np.sqrt(np.clip(1 - ((zeta - 0.56) / 0.29) ** 2, 0.08, 1))
    size = np.minimum(thick, 0.36 * room)[:, None].astype(np.float32)
    away = (room - np.maximum(size[:, 0], 2) * (1.15 - 0.3 * np.clip(zeta - 0.5, 0, 1)))[:, None].astype(np.float32)
    x, y = away * np.float32(np.cos(angle)), away * np.float32(np.sin(angle))
    cover = np.clip(0.5 - (np.hypot(grid.across[rows] - x, grid.forward[rows] - y) - size) / painter.edge_mm, 0, 1)
    painter.image[rows] += cover * (muscle[rows] - painter.image[rows])


def _paint_above(
    painter: Painter, heart: Heart, grid: Grid, heights: Field, phase: float, blood: Field, look: Look
) -> None:
    """Atria, aortic root and right outflow, only where the rings have come down past the sub-slice."""
    up_left, up_right = heart.descent_mm * phase - heights, heart.right_descent_mm * phase - heights
    rows = np.flatnonzero((up_left > -1) | (up_right > -1))
    if not len(rows):
        return
    size, wall = heart.radius_mm / 26, np.float32(look.signals["myocardium"])
    left, right = up_left[rows, None], up_right[rows, None]
    grow = heart.atria * (1 + 0.12 * phase)
    wide_left = size * grow * np.sqrt(np.clip(1 - ((left - 22) / 38) ** 2, 0.02, 1))
    wide_right = size * grow * np.sqrt(np.clip(1 - ((right - 22) / 36) ** 2, 0.02, 1))
    chambers: tuple[tuple[Field, tuple[float, float], tuple[Half, Half], float, float, float], ...] = (
        # up, centre, half-axes, aslant, wall, brightness
        (right, (43 * size, -15.0), (24 * wide_right, 29 * wide_right), 0.5, 2.0, 0.93),
        (left, (-5 * size, -12 * size), (30 * wide_left, 22 * wide_left), -0.5, 2.0, 0.95),
        (right, (27 * size, 31 * size), (21.0, 15.0), -0.45, 3.0, 0.90),
        (left, (13 * size, 9 * size), (14.0, 13.0), 0.0, 2.0, 1.0),
    )
    part = Painter((len(rows), len(grid.inside)), float(painter.edge_mm))
    part.image[:] = painter.image[rows]
    for (up, centre, half, aslant, thick, bright), aside in zip(chambers, look.above_mm, strict=True):
        middle = (centre[0] + aside[0], centre[1] + aside[1])
        outside = _egg(grid.across[rows], grid.forward[rows], middle, half, aslant)
        part.fill(np.maximum(outside - np.float32(thick), -up), wall)
        part.fill(np.maximum(outside, -up), np.float32(bright) * blood[rows])
    painter.image[rows] = part.image


def _egg(x: Field, y: Field, centre: tuple[float, float], half: tuple[Half, Half], aslant: float) -> Field:
    """About the signed distance to an oblique ellipse with one blunt end, in mm."""
    cos, sin = np.float32(np.cos(aslant)), np.float32(np.sin(aslant))
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    along, aside = (cos * dx + sin * dy) / half[0], (cos * dy - sin * dx) / half[1]
    far = np.sqrt(along**2 + (aside * (1 + np.float32(0.18) * along)) ** 2)
    return ((far - 1) * np.sqrt(np.asarray(half[0]) * half[1])).astype(np.float32)
