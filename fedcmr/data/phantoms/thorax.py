"""The body around the heart: skin fat, muscle, ribs, lungs, diaphragm, liver, stomach, spleen, spine and vessels.

Written in patient axes (x to the left, y to the back, z to the head; mm, origin on the body's midline at the height
of the heart), so an oblique slice shows what an oblique slice shows. The parts are simple solids, our drawing;
positions vary from person to person.
"""

from dataclasses import dataclass

import numpy as np

from fedcmr.data.phantoms.anatomy import Person
from fedcmr.data.phantoms.look import Look, Solid
from fedcmr.data.phantoms.painter import Field, Painter, ellipse, smooth_noise


@dataclass(frozen=True)
class Thorax:
    """half_width_mm, half_depth_mm: of the trunk; fat_mm, muscle_mm: of the wall; right_dome_mm, left_dome_mm:
    height of the diaphragm.
    """

    half_width_mm: float
    half_depth_mm: float
    fat_mm: float
    muscle_mm: float
    right_dome_mm: float
    left_dome_mm: float
    aorta_mm: float
    breast_mm: float


def draw_thorax(rng: np.random.Generator, person: Person) -> Thorax:
    """A trunk that fits height, weight and sex. `rng` is consumed in a fixed order."""
    spread = rng.standard_normal(8)
    bmi = person.weight_kg / (person.height_cm / 100) ** 2
    tall = person.height_cm / 170
    return Thorax(
        half_width_mm=float(150 * tall + 3.0 * (bmi - 24) + 5 * spread[0]),
        half_depth_mm=float(108 * tall + 2.2 * (bmi - 24) + 4 * spread[1]),
        fat_mm=float(np.clip(9 + 1.6 * (bmi - 22) + (4 if person.sex == "F" else 0) + 2.5 * spread[2], 4, 45)),
        muscle_mm=float(np.clip(15 + 2 * spread[3], 10, 22)),
        right_dome_mm=float(-14 + 9 * spread[4]),
        left_dome_mm=float(-27 + 7 * spread[5]),
        aorta_mm=float(np.clip(12 + 0.05 * (person.age_years - 50) + spread[6], 9, 17)),
        breast_mm=float(max(0.0, 18 + 8 * spread[7])) if person.sex == "F" else 0.0,
    )


def paint_thorax(
    rng: np.random.Generator,
    body: Thorax,
    points: tuple[Field, Field, Field],
    below_base: Field,
    look: Look,
    edge_mm: float,
    pixel_mm: float,
) -> Field:
    """Signed signal of everything but the heart.

    Args:
        points: x, y, z of every voxel, each (Z, X, Y) in mm.
        below_base: distance towards the apex from where the great vessels leave the heart, (Z, 1, 1) in mm.
        look: contrast and textures.
        edge_mm: width of edges. pixel_mm: sets the grain of the textures.
    Returns (Z, X, Y) float32, blood = 1.
    """
    x, y, z = points
    shape = (x.shape[0], x.shape[1], x.shape[2])
    fine = smooth_noise(rng, shape, max(2, round(3.2 / pixel_mm)), 0.8)
    coarse = smooth_noise(rng, shape, max(4, round(9 / pixel_mm)), 1.0)
    painter = Painter(shape, edge_mm)
    depth = _skin_depth(body, x, y, z)
    signals = look.signals
    _paint_wall(painter, body, depth, points, look, fine, coarse)
    inside = body.fat_mm + body.muscle_mm - depth + np.float32(1.5) * coarse
    painter.fill(inside, signals["lung"] * (1 + np.float32(0.35 * look.grain["lung"]) * fine))
    # lung vessels: the brightest grains, denser towards the root of the lung
    root_mm = np.sqrt((np.abs(x) - 30) ** 2 + (y - 10) ** 2 + (z - 15) ** 2)
    rare = np.clip((fine - (np.float32(0.95) + root_mm * np.float32(0.008))) * 2, 0, 1)
    painter.fill(inside + 6, np.float32(0.75 * signals["blood"]), rare)
    _paint_middle(painter, points, below_base, look, coarse)
    _paint_belly(painter, body, depth, points, look, fine, coarse)
    _paint_back(painter, body, points, look, fine)
    for solid in look.clutter:
        _paint_solid(painter, points, solid)
    return painter.image


def _skin_depth(body: Thorax, x: Field, y: Field, z: Field) -> Field:
    squared_x, squared_y = (x / np.float32(body.half_width_mm)) ** 2, ((y - 12) / np.float32(body.half_depth_mm)) ** 2
    around = (squared_x * np.sqrt(np.sqrt(squared_x)) + squared_y * np.sqrt(np.sqrt(squared_y))) ** np.float32(0.4)
    depth = (1 - around) * np.float32(body.half_depth_mm)
    if body.breast_mm > 0:
        bump = np.exp(-(((np.abs(x) - 75) / 42) ** 2) - ((z - 10) / 55) ** 2) * (y < 0)
        depth = depth + np.float32(body.breast_mm) * bump.astype(np.float32)
    return depth


def _paint_wall(
    painter: Painter,
    body: Thorax,
    depth: Field,
    points: tuple[Field, Field, Field],
    look: Look,
    fine: Field,
    coarse: Field,
) -> None:
    x, y, z = points
    signals, grain = look.signals, look.grain
    painter.fill(-depth, signals["fat"] * (1 + np.float32(0.08 * grain["fat"]) * coarse))
    painter.fill(
        body.fat_mm - depth + np.float32(1.5) * coarse,
        signals["muscle"] * (1 + np.float32(0.12 * grain["muscle"]) * fine),
    )
    # sheets of fat between the muscles of the wall
    sheet = np.abs(depth - body.fat_mm - np.float32(0.45 * body.muscle_mm) + np.float32(2) * coarse) - np.float32(0.8)
    painter.fill(sheet, np.float32(0.8 * signals["fat"]))
    # ribs run forwards and downwards
    rib = np.cos(
        (z + np.float32(0.55) * np.abs(x) * np.sign(y - 12) * 0.3 - np.float32(0.45) * y) * np.float32(2 * np.pi / 27)
    )
    band = np.abs(depth - body.fat_mm - np.float32(0.75 * body.muscle_mm)) - np.float32(5)
    painter.fill(np.maximum(band, (np.float32(0.45) - rib) * 6), np.float32(signals["bone"]))
    painter.fill(np.maximum(band + 2, (np.float32(0.60) - rib) * 6), np.float32(0.7 * signals["marrow"]))
    front = 12 - body.half_depth_mm + body.fat_mm + 8
    painter.fill(ellipse(x, y, (0, front), (19, 7)), np.float32(signals["bone"]))
    painter.fill(ellipse(x, y, (0, front), (16, 5)), np.float32(signals["marrow"]))


def _paint_middle(
    painter: Painter, points: tuple[Field, Field, Field], below_base: Field, look: Look, coarse: Field
) -> None:
    x, y, z = points
    signals = look.signals
    centre = np.maximum(ellipse(x, y, (14, -16), (34, 56)), ellipse(x, z, (20, 10), (55, 72)))
    painter.fill(
        centre + 4 * coarse, signals["fat"] * (np.float32(0.72) + np.float32(0.14 * look.grain["fat"]) * coarse)
    )
    for (left, back), half in (((-6, -34), (16, 16)), ((-28, -14), (9, 10)), ((20, -42), (13, 14))):
        wall = ellipse(x, y, (left, back), half)
        painter.fill(np.maximum(wall - 2, below_base), np.float32(signals["muscle"]))
        painter.fill(np.maximum(wall, below_base), np.float32(signals["blood"]))


def _paint_belly(
    painter: Painter,
    body: Thorax,
    depth: Field,
    points: tuple[Field, Field, Field],
    look: Look,
    fine: Field,
    coarse: Field,
) -> None:
    x, y, z = points
    signals, grain = look.signals, look.grain
    right = body.right_dome_mm - ((x + 68) ** 2 + (y - 5) ** 2) / np.float32(300)
    left = body.left_dome_mm - ((x - 72) ** 2 + (y - 12) ** 2) / np.float32(300)
    under = z - np.maximum(right, left) + np.float32(1.2) * coarse
    below = np.maximum(under, body.fat_mm + body.muscle_mm - 1 - depth)
    painter.fill(below, np.float32(signals["muscle"]))
    painter.fill(below + 3, signals["fat"] * (np.float32(0.85) + np.float32(0.12 * grain["fat"]) * coarse))
    liver = np.maximum(below + 3, (x - 30 + (y + 20) * np.float32(0.35)) * np.float32(0.9) + 3 * coarse)
    painter.fill(liver, signals["liver"] * (1 + np.float32(0.07 * grain["liver"]) * fine))
    vein = np.clip((fine - np.float32(1.55)) * 3, 0, 1)
    painter.fill(liver + 8, np.float32(0.85 * signals["blood"]), vein)
    stomach = np.maximum(below + 5, ellipse(x, y, (66, -18), (40, 46)) + 4 * coarse)
    painter.fill(stomach - 3, np.float32(signals["muscle"]))
    painter.fill(
        stomach, signals["stomach"] * np.clip(np.float32(0.6) + np.float32(0.45 * grain["stomach"]) * coarse, 0.03, 1.2)
    )
    spleen = np.maximum(below + 4, ellipse(x, y, (92, 52), (34, 38)) + 2 * coarse)
    painter.fill(spleen, signals["spleen"] * (1 + np.float32(0.08 * grain["spleen"]) * fine))
    kidney = np.maximum(z + 70, ellipse(np.abs(x), y, (58, 68), (26, 24)))
    painter.fill(kidney, signals["kidney"] * (1 + np.float32(0.15 * grain["kidney"]) * coarse))


def _paint_back(painter: Painter, body: Thorax, points: tuple[Field, Field, Field], look: Look, fine: Field) -> None:
    x, y, z = points
    signals, grain = look.signals, 1 + np.float32(0.10 * look.grain["marrow"]) * fine
    side = np.abs(x)
    painter.fill(ellipse(side, y, (34, 94), (27, 19)), signals["muscle"] * grain)
    painter.fill(ellipse(x, y, (0, 72), (25, 20)), np.float32(signals["bone"]))
    disc = np.clip(np.cos(z * np.float32(2 * np.pi / 30)) * 4 - np.float32(2.6), 0, 1)
    body_signal = signals["marrow"] * grain * (1 - disc) + np.float32(1.1 * signals["muscle"]) * disc
    painter.fill(ellipse(x, y, (0, 72), (23, 18)), body_signal)
    painter.fill(ellipse(x, y, (0, 100), (12, 11)), np.float32(signals["bone"]))
    painter.fill(ellipse(x, y, (0, 99), (9, 8)), np.float32(signals["fluid"]))
    painter.fill(ellipse(x, y, (0, 99), (6, 5)), np.float32(signals["muscle"]))
    aorta = ellipse(x, y, (25, 52), (body.aorta_mm, body.aorta_mm))
    painter.fill(aorta - 2, np.float32(signals["muscle"]))
    painter.fill(aorta, np.float32(signals["blood"]))
    cava = np.maximum(ellipse(x, y, (-24, 14), (12, 10)), z - 8)
    painter.fill(cava, np.float32(0.92 * signals["blood"]))
    painter.fill(ellipse(x, y, (6, 40), (7, 5)), np.float32(0.8 * signals["muscle"]))


def _paint_solid(painter: Painter, points: tuple[Field, Field, Field], solid: Solid) -> None:
    far = np.sqrt(
        sum(
            ((axis - np.float32(middle)) / np.float32(half)) ** 2
            for axis, middle, half in zip(points, solid.centre_mm, solid.half_mm, strict=True)
        )
    )
    painter.fill((far - 1) * np.float32(min(solid.half_mm)), np.float32(solid.signal))
