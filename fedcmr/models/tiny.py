"""The embedded backbone: the foundation model's class in our own small size, from seeded or from given weights."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fedcmr.models.backbone import Backbone, seeded
from fedcmr.models.mapping import is_pretraining, load_classifier, load_pretrained, read_checkpoint
from fedcmr.models.shape import BackboneShape

PROVENANCE = "seeded random weights, not pre-trained"
SHAPE = BackboneShape(width=128, depth=6, heads=2, stem_channels=(32, 64), patch=(8, 8, 1))
"""576 tokens for 192x192x16 voxels, 1.6 million parameters. Our choice; the published size "tiny" is another."""


@dataclass(frozen=True)
class Knobs:
    """Which weights.

    Args:
        weights_seed: of seeded weights, ≥ 0; the run's own seed does not change them.
        path: weights of `python -m fedcmr.pretrain`, or of a classifier of this size in the same layout, whose heads
            are left aside. Empty for seeded weights.
    Raises: ValueError for a negative seed, and for a seed beside a path.
    """

    weights_seed: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        if self.weights_seed < 0:
            raise ValueError(f"backbone.weights_seed={self.weights_seed}: expected at least 0.")
        if self.path and self.weights_seed:
            raise ValueError(
                f"backbone.weights_seed={self.weights_seed} has no effect beside backbone.path={self.path}. "
                "Give one of them."
            )


def build(knobs: Knobs) -> Backbone:
    """The backbone with these weights. Raises: ValueError where the file is not to be read, or does not fit."""
    backbone = seeded(SHAPE, knobs.weights_seed, PROVENANCE)
    if knobs.path:
        file = Path(knobs.path)
        tensors = read_checkpoint(file)
        if is_pretraining(tensors):
            load_pretrained(backbone, tensors)
        else:
            load_classifier(backbone, tensors)
        hashed = hashlib.sha256(file.read_bytes()).hexdigest()
        how = "pre-trained with masked patches" if is_pretraining(tensors) else "fine-tuned as a classifier"
        backbone.provenance = f"{how} (file {file.name}, SHA-256 {hashed})"
    return backbone
