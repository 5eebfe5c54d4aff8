"""A beating heart in closed form: every wall is a radius over angle and height, every volume an integral of it.

Heart frame: z in mm along the long axis, 0 at the mitral ring in end-diastole, growing to the apex, which rests.
Angle θ around the LV axis: 0 mid-septum, +π/2 anterior, π lateral, -π/2 inferior. Phase f in [0, 1]: 0 end-diastole,
1 end-systole.

    height        ζ = (z - d f) / L(f),  L(f) = L - d f: the base comes down by d, the apex stays
    cavity        Ri(θ, ζ, f) = Ri(θ, ζ, 0) · (1 - c k(θ, ζ) f), k = 1 in healthy muscle, about 0 in an infarct
    epicardium    Ro² = Ri² + W(θ, ζ) · L / L(f), W = (Ri + w)² - Ri² at end-diastole
    right side    Rr = Ro + H(f) q(θ, ζr) between the two insertion points

The third line is conservation of muscle in every sector: walls thicken because the cavity shrinks and the ventricle
shortens.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedcmr.data.measures import MUSCLE_G_PER_ML
from fedcmr.data.phantoms.anatomy import Targets

Table = NDArray[np.float32]
ANGLES = 360
THETA: Table = (2 * np.pi / ANGLES * np.arange(ANGLES, dtype=np.float32) + np.pi) % (2 * np.pi) - np.pi
HEIGHTS = (np.arange(48, dtype=np.float32) + 0.5) / 48
# coronary territories after the 17 segments of Cerqueira 2002: centre and spread in θ (radians), then in ζ
TERRITORY = {"LAD": (0.75, 0.85, 0.72, 0.33), "RCA": (-1.35, 0.7, 0.32, 0.36), "LCX": (-2.75, 0.75, 0.42, 0.36)}


@dataclass(frozen=True)
class Contours:
    """Radii in mm from the LV axis, (S, ANGLES), -1000 where a structure is absent; heights ζ and ζr, (S,)."""

    endo: Table
    epi: Table
    right: Table
    zeta: Table
    zeta_right: Table


@dataclass(frozen=True)
class Heart:
    """A solved heart. Build with `build_heart`.

    Args:
        length_mm: L; descent_mm, right_descent_mm: how far mitral and tricuspid ring come down.
        radius_mm: scale of the cavity; wall_mm: scale of the wall; contraction: c; right_mm: H at end-diastole and
            end-systole.
        flattening: of the septum, 0 to 0.35; ripples: (amplitude, phase) of 2nd and 3rd harmonic of the cavity.
        insertions: inferior and anterior insertion angle of the right ventricle.
        wall_waist: thinner apex; texture: trabeculae, (24, ANGLES), 0 to about 1.
        papillary: two angles; lean: tilt (2,) in mm per mm and bend (2,) in mm per mm² of the LV axis.
        triangle: how straight the right free wall is, 0 to 1. fat_mm: epicardial fat; atria: scale of both.
        taper: of the cavity towards the apex, higher is blunter; right_reach: length of the right ventricle over L.
    """

    targets: Targets
    length_mm: float
    descent_mm: float
    right_descent_mm: float
    flattening: float
    ripples: tuple[tuple[float, float], tuple[float, float]]
    insertions: tuple[float, float]
    wall_waist: float
    texture: Table
    papillary: tuple[float, float]
    lean: tuple[float, float, float, float]
    triangle: float
    fat_mm: float
    atria: float
    taper: float = 2.3
    right_reach: float = 0.92
    radius_mm: float = 1.0
    wall_mm: float = 1.0
    contraction: float = 0.0
    right_mm: tuple[float, float] = (0.0, 0.0)

    def cavity_mm(self, zeta: Table) -> Table:
        """End-diastolic endocardium, (S, ANGLES); 0 at and beyond the apex."""
        down = np.clip((zeta - 0.22) / 0.78, 0, 1)
        up = np.clip((0.22 - zeta) / 0.22, 0, 1)
        along = np.sqrt(np.clip(1 - down**self.taper, 0, 1)) * (1 - 0.10 * up**2)
        (second, phase2), (third, phase3) = self.ripples
        twist = 0.8 * zeta[:, None]
        around = 1 + second * np.cos(2 * THETA + phase2 + twist) + third * np.cos(3 * THETA + phase3 - twist)
        around = around * (1 - self.flattening * np.exp(-((THETA / 0.8) ** 2)))
        return self.radius_mm * along[:, None] * around

    def disease(self, zeta: Table) -> Table:
        """Where an infarct or an asymmetric hypertrophy lies, 0 to 1, (S, ANGLES)."""
        pattern = self.targets.pattern
        if pattern in TERRITORY:
            angle, spread, height, reach = TERRITORY[pattern]
            apex = np.where(zeta > height, 1.0 + 1.5 * np.clip(zeta - height, 0, 1), 1.0) if pattern == "LAD" else 1.0
            away = (THETA[None, :] - angle + np.pi) % (2 * np.pi) - np.pi
            across = np.exp(-((away / (spread * np.reshape(apex, (-1, 1)))) ** 4))
            along = (
                np.exp(-(((zeta - height) / reach) ** 4))
                if pattern != "LAD"
                else 1 / (1 + np.exp(-(zeta - 0.38) / 0.05))
            )
            return across * along[:, None]
        if pattern == "septal":
            return np.exp(-(((THETA[None, :] - 0.35) / 1.0) ** 2)) * np.exp(-(((zeta - 0.3) / 0.45) ** 2))[:, None]
        if pattern == "apical":
            return np.broadcast_to(1 / (1 + np.exp(-(zeta - 0.6) / 0.07))[:, None], (len(zeta), ANGLES))
        return np.zeros((len(zeta), ANGLES), np.float32)

    def thickness_mm(self, zeta: Table) -> Table:
        """End-diastolic wall, (S, ANGLES): septum a little thicker than the rest, apex thinner, disease on top."""
        along = 1 - self.wall_waist * np.clip(zeta, 0, 1.3) ** 2.5
        around = 1 + 0.07 * np.cos(THETA)
        strength = {"MINF": -0.55, "HCM": 1.5}.get(self.targets.group, 0.0) * self.targets.severity
        return self.wall_mm * along[:, None] * around * (1 + strength * self.disease(zeta))

    def contractility(self, zeta: Table) -> Table:
        """k, (S, ANGLES): 1 in healthy muscle; an infarct loses up to 1.15 of it, so the worst bulge outwards."""
        lost = 1.15 * min(1.0, 1.8 * self.targets.severity) if self.targets.group == "MINF" else 0.0
        return 1 - lost * self.disease(zeta)

    def contours(self, z_mm: Table, phase: float) -> Contours:
        """All radii at heights z (S,) at one phase."""
        length = self.length_mm - self.descent_mm * phase
        zeta = ((z_mm - self.descent_mm * phase) / length).astype(np.float32)
        rest = self.cavity_mm(zeta)
        wall = self.thickness_mm(zeta)
        tip = float(self.thickness_mm(np.ones(1, np.float32)).mean()) / self.length_mm
        cap = np.sqrt(np.clip(1 - np.clip((zeta - 1) / tip, 0, 1) ** 2, 0, 1))[:, None]
        stretch = self.length_mm / length
        endo = rest * (1 - self.contraction * phase * self.contractility(zeta))
        epi = np.sqrt(endo**2 + ((rest + wall) ** 2 - rest**2) * cap**2 * stretch)
        above, beyond = (zeta < 0)[:, None], (zeta >= 1)[:, None]
        right_length = self.right_reach * self.length_mm - self.right_descent_mm * phase
        zeta_right = ((z_mm - self.right_descent_mm * phase) / right_length).astype(np.float32)
        height = self.right_mm[0] + (self.right_mm[1] - self.right_mm[0]) * phase
        right = epi + height * self.crescent(zeta_right)
        absent = ((zeta_right < 0) | (zeta_right > 1))[:, None] | (self.crescent(zeta_right) <= 0)
        return Contours(
            endo=np.where(above | beyond, np.float32(-1000), endo).astype(np.float32),
            epi=np.where(above | (cap <= 0), np.float32(-1000), epi).astype(np.float32),
            right=np.where(absent, np.float32(-1000), right).astype(np.float32),
            zeta=zeta,
            zeta_right=zeta_right,
        )

    def crescent(self, zeta: Table) -> Table:
        """q(θ, ζr), (S, ANGLES), 0 to 1: how far the right ventricle reaches from the septum, over its height H."""
        low, high = self.insertions
        across = np.clip((THETA - low) / (high - low), 0, 1)
        inside = np.clip(zeta, 0, 1)[:, None]
        along = (1 - inside**2.2) ** 0.85
        # base: the corner points to the outflow tract; towards the apex it moves to the acute margin over the diaphragm
        corner = 0.56 - 0.26 * inside
        straight = np.minimum(across / corner, (1 - across) / (1 - corner))
        round_part = np.clip(np.sin(np.pi * across), 0, 1) ** 0.7
        outline = (1 - self.triangle) * round_part + self.triangle * np.clip(straight, 0, 1) ** 0.75
        return np.where((across > 0) & (across < 1), outline, 0.0) * along

    def volumes_ml(self, phase: float) -> tuple[float, float, float]:
        """Left cavity, left muscle, right cavity in ml, by the midpoint rule over height and angle."""
        reach = 1.15 * self.length_mm
        z = HEIGHTS * reach
        at = self.contours(z.astype(np.float32), phase)
        left = np.clip(at.endo, 0, None) ** 2
        outer = np.clip(at.epi, 0, None) ** 2
        right = np.where(at.right > 0, at.right**2 - outer, 0.0)
        cell = 0.5 * (2 * np.pi / ANGLES) * (reach / len(HEIGHTS)) / 1000
        return float(left.sum()) * cell, float((outer - left).sum()) * cell, float(right.sum()) * cell

    @cached_property
    def truth(self) -> dict[str, float]:
        """Volumes (ml), ejection fractions, mass (g) and thickest end-diastolic wall (mm) of the geometry itself."""
        left, muscle, right = self.volumes_ml(0.0)
        left_es, _, right_es = self.volumes_ml(1.0)
        wall = self.thickness_mm(np.linspace(0.05, 0.9, 18, dtype=np.float32))
        return {
            "lv_edv_ml": left,
            "lv_esv_ml": left_es,
            "lv_ef": 1 - left_es / left,
            "lv_mass_g": muscle * MUSCLE_G_PER_ML,
            "rv_edv_ml": right,
            "rv_esv_ml": right_es,
            "rv_ef": 1 - right_es / right,
            "wall_max_mm": float(wall.max()),
        }
