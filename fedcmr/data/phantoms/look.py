"""How a scan shows a body: the signal of each tissue, and how strong its textures are.

The realistic look is bSSFP's signals with every factor at 1; `randomised_scan.py` draws others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcmr.data.phantoms.scanner import Profile
from fedcmr.data.phantoms.tissues import TISSUES, tissue_signals


@dataclass(frozen=True)
class Solid:
    """A foreign body in the chest: an ellipsoid of one signal.

    Args:
        centre_mm, half_mm: its middle and half-axes in patient axes. signal: of what fills it.
    """

    centre_mm: tuple[float, float, float]
    half_mm: tuple[float, float, float]
    signal: float


@dataclass(frozen=True)
class Look:
    """Contrast and texture of one patient's images; factors are relative to the realistic look, where they are 1.

    Args:
        signals: tissue -> signed signal. grain: tissue -> factor on the amplitude of its texture, >= 0.
        flow: SD of the logarithm of a smooth field over the blood, one at end-diastole, another at end-systole; >= 0.
        right_blood: factor on the blood of the right ventricle.
        papillary, trabeculae, right_wall: factors on the thickness of papillary muscles, trabeculae and right wall.
        effusion_mm: fluid between heart and fat, >= 0.
        above_mm: how far right atrium, left atrium, right outflow and aortic root lie aside from their usual places.
        clutter: foreign bodies in the chest, none inside the heart.
    """

    signals: Mapping[str, float]
    grain: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(TISSUES, 1.0))
    flow: float = 0.0
    right_blood: float = 1.0
    papillary: float = 1.0
    trabeculae: float = 1.0
    right_wall: float = 1.0
    effusion_mm: float = 0.0
    above_mm: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4
    clutter: tuple[Solid, ...] = ()


def realistic_look(field_t: float, profile: Profile) -> Look:
    """What bSSFP shows at `field_t` tesla with the profile's repetition time and flip angle."""
    return Look(tissue_signals(field_t, profile.tr_ms, profile.flip_deg))
