"""The embedded backbone: the foundation model's class in our own small size, from seeded weights."""

from dataclasses import dataclass

from fedcmr.models.backbone import Backbone, seeded
from fedcmr.models.shape import BackboneShape

PROVENANCE = "seeded random weights, not pre-trained"
SHAPE = BackboneShape(width=128, depth=6, heads=2, stem_channels=(32, 64), patch=(8, 8, 1))
"""576 tokens for 192x192x16 voxels, 1.6 million parameters. Our choice; the published size "tiny" is another."""


@dataclass(frozen=True)
class Knobs:
    """weights_seed: of the weights, ≥ 0; the run's own seed does not change them."""

    weights_seed: int = 0

    def __post_init__(self) -> None:
        if self.weights_seed < 0:
            raise ValueError(f"backbone.weights_seed={self.weights_seed}: expected at least 0.")


def build(knobs: Knobs) -> Backbone:
    return seeded(SHAPE, knobs.weights_seed, PROVENANCE)
