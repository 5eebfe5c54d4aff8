"""Where a scan lies in a person: directions of heart and image, the file's affine, and voxels in the heart's own
coordinates.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedcmr.data.phantoms.heart import ANGLES, Heart
from fedcmr.data.phantoms.painter import Field
from fedcmr.data.phantoms.scanner import Acquisition

Voxel = TypeVar("Voxel", np.int16, np.uint8)
SUBSLICES = 3
# middle of the LV axis in patient axes: left, back, head
ORIGIN_MM = np.array([40.0, -33.0, -3.0])


@dataclass(frozen=True)
class Axes:
    """Unit vectors in patient axes (left, back, head).

    Args:
        apex: along the LV axis. septum: from there to the RV. front: to the anterior wall.
        rows, columns: x and y of the file.
    """

    apex: Field
    septum: Field
    front: Field
    rows: Field
    columns: Field


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a scan lie in the heart.

    Args:
        inside: (P,) pixels of a flattened slice that can hold heart.
        across, forward: (Z, P) mm from the LV axis towards septum and front. radius: (Z, P) mm.
        angle: (Z, P) index into THETA. heights: (Z, SUBSLICES) mm over the mitral ring.
    """

    inside: NDArray[np.int64]
    across: Field
    forward: Field
    angle: NDArray[np.int32]
    radius: Field
    heights: Field


def draw_axes(rng: np.random.Generator, turn_deg: float, spread: float = 0.11) -> Axes:
    """The heart's directions in one chest, and the image's in its plane. `rng` is consumed in a fixed order.

    Args:
        spread: SD of the heart's directions from person to person, as a share of their length.
    """
    apex = unit(np.array([0.56, -0.60, -0.57]) + rng.normal(0, spread, 3))
    aside = unit(np.array([-0.80, -0.38, -0.30]) + rng.normal(0, spread, 3))
    septum = unit(aside - apex * (aside @ apex))
    front = np.cross(apex, septum)
    if front @ np.array([0.0, -1.0, 1.0]) < 0:
        front = -front
    base = -apex  # slices are stored from apex to base, as in M&Ms
    turn = np.deg2rad(turn_deg)
    other = np.cross(base, -septum)
    rows = np.cos(turn) * -septum + np.sin(turn) * other
    return Axes(*(np.asarray(v, dtype=np.float32) for v in (apex, septum, front, rows, np.cross(base, rows))))


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector at length 1."""
    return vector / np.linalg.norm(vector)


def affine(scan: Acquisition, axes: Axes, heart: Heart) -> NDArray[np.float64]:
    """Voxel index -> right, anterior, superior in mm, (4, 4); its columns are orthogonal and as long as the spacing."""
    pixel, spacing = scan.profile.pixel_mm, scan.profile.spacing_mm
    steps = np.stack([axes.rows * pixel, axes.columns * pixel, -axes.apex * spacing], axis=1)
    matrix = np.eye(4)
    matrix[:3, :3] = steps
    matrix[:3, 3] = _corner(scan, axes, heart)
    for axis, is_turned in ((0, scan.mirrored), (2, scan.base_first)):
        if is_turned:
            matrix[:3, 3] += (scan.shape[axis] - 1) * matrix[:3, axis]
            matrix[:3, axis] *= -1
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def as_stored(voxels_TZXY: NDArray[Voxel], scan: Acquisition) -> NDArray[Voxel]:
    """Images or masks, made from apex to base, in the order in which this scan's file holds them."""
    if scan.base_first:
        voxels_TZXY = voxels_TZXY[:, ::-1]
    return voxels_TZXY[:, :, ::-1] if scan.mirrored else voxels_TZXY


def slice_shifts(scan: Acquisition) -> tuple[Field, Field]:
    """How far each slice, from apex to base, was taken aside along x and y: two of (Z,) in mm."""
    moved = np.array(scan.shifts_mm or np.zeros((scan.shape[2], 2)), dtype=np.float32)
    return moved[:, 0], moved[:, 1]


def _corner(scan: Acquisition, axes: Axes, heart: Heart) -> NDArray[np.float64]:
    pixel = scan.profile.pixel_mm
    lowest = scan.first_slice_mm + (scan.shape[2] - 1) * scan.profile.spacing_mm
    from_axis = [-0.5 * (size - 1) * pixel + away for size, away in zip(scan.shape[:2], scan.offset_mm, strict=True)]
    height = lowest - 0.5 * heart.length_mm
    return np.asarray(ORIGIN_MM + axes.rows * from_axis[0] + axes.columns * from_axis[1] + axes.apex * height)


def slice_heights(scan: Acquisition) -> Field:
    """Middle of each stored slice over the mitral ring, (Z,), from apex to base."""
    order = np.arange(scan.shape[2] - 1, -1, -1, dtype=np.float32)
    return np.asarray(scan.first_slice_mm + order * scan.profile.spacing_mm, dtype=np.float32)


def patient_points(scan: Acquisition, axes: Axes, heart: Heart, every: int = 1) -> tuple[Field, Field, Field]:
    """x, y, z (patient axes, mm) of every `every`-th row and column, each (Z, X, Y)."""
    corner, pixel, spacing = _corner(scan, axes, heart), scan.profile.pixel_mm, scan.profile.spacing_mm
    row = (np.arange(every // 2, scan.shape[0], every) * pixel).astype(np.float32)
    column = (np.arange(every // 2, scan.shape[1], every) * pixel).astype(np.float32)
    level = (np.arange(scan.shape[2]) * spacing).astype(np.float32)
    aside_x, aside_y = slice_shifts(scan)
    x, y, z = (
        (np.float32(corner[k]) + aside_x * axes.rows[k] + aside_y * axes.columns[k])[:, None, None]
        - level[:, None, None] * axes.apex[k]
        + row[:, None] * axes.rows[k]
        + column * axes.columns[k]
        for k in range(3)
    )
    return x, y, z


def heart_grid(scan: Acquisition, axes: Axes, heart: Heart) -> Grid:
    """The pixels near the heart, in its coordinates; the LV axis leans and bends a little from slice to slice."""
    pixel = scan.profile.pixel_mm
    row = (np.arange(scan.shape[0]) - 0.5 * (scan.shape[0] - 1)) * pixel + scan.offset_mm[0]
    column = (np.arange(scan.shape[1]) - 0.5 * (scan.shape[1] - 1)) * pixel + scan.offset_mm[1]
    across = (
        (row[:, None] * (axes.rows @ axes.septum) + column * (axes.columns @ axes.septum)).ravel().astype(np.float32)
    )
    forward = (
        (row[:, None] * (axes.rows @ axes.front) + column * (axes.columns @ axes.front)).ravel().astype(np.float32)
    )
    aside = slice_shifts(scan)
    moved_across, moved_forward = (
        (aside[0] * (axes.rows @ to) + aside[1] * (axes.columns @ to))[:, None] for to in (axes.septum, axes.front)
    )
    reach = 62 + 0.75 * max(heart.right_mm[0], 20) + heart.fat_mm
    inside = np.flatnonzero(np.hypot(across - 12, forward) < reach)
    heights = slice_heights(scan)
    along = (heights - 0.5 * heart.length_mm)[:, None]
    tilt_x, tilt_y, bend_x, bend_y = heart.lean
    x = across[inside][None, :] + moved_across - tilt_x * along - bend_x * along**2
    y = forward[inside][None, :] + moved_forward - tilt_y * along - bend_y * along**2
    angle = np.round(np.arctan2(y, x) * (ANGLES / (2 * np.pi))).astype(np.int32) % ANGLES
    thin = (np.arange(SUBSLICES) - 0.5 * (SUBSLICES - 1)) * scan.thickness_mm / SUBSLICES
    return Grid(
        inside=inside,
        across=x.astype(np.float32),
        forward=y.astype(np.float32),
        angle=angle,
        radius=np.hypot(x, y).astype(np.float32),
        heights=(heights[:, None] + thin).astype(np.float32),
    )
