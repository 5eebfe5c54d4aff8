"""The embedded backbone: the foundation model's class in our own small size, with weights that lie in the package.

Those were pre-trained on simulated hearts alone; the card beside them, weights/tiny.json, says on which, how, and with
what scores. `make pretrain` makes such weights again.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from fedcmr.models.backbone import Backbone, seeded
from fedcmr.models.mapping import is_pretraining, load_classifier, load_pretrained, read_checkpoint
from fedcmr.models.shape import BackboneShape

SHAPE = BackboneShape(width=128, depth=6, heads=2, stem_channels=(16, 32, 64), stem_blocks=1)
"""576 tokens of 32x32x1 of 192x192x16 voxels, 1.5 million parameters; the stem begins with pixels of 4 mm. Our choice;
the published size "tiny" is another."""

EMBEDDED, RANDOM = "embedded", "random"
UNTRAINED = "seeded random weights, not pre-trained"
FILE = Path(__file__).with_name("weights") / "tiny.safetensors"
CARD = FILE.with_suffix(".json")


@dataclass(frozen=True)
class Knobs:
    """Which weights.

    Args:
        weights: "embedded", those of the package; or "random", drawn from `weights_seed`.
        weights_seed: of random weights, ≥ 0; the run's own seed does not change them.
        path: in their place weights of `python -m fedcmr.pretrain`, or of a classifier of this size in the same layout,
            whose heads are left aside; empty for none.
    Raises: ValueError for another word or a negative seed, and for a knob that would have no effect.
    """

    weights: str = EMBEDDED
    weights_seed: int = 0
    path: str = ""

    def __post_init__(self) -> None:
        if self.weights not in (EMBEDDED, RANDOM):
            raise ValueError(f"backbone.weights={self.weights}: expected {EMBEDDED} or {RANDOM}; a file is a path.")
        if self.weights_seed < 0:
            raise ValueError(f"backbone.weights_seed={self.weights_seed}: expected at least 0.")
        if self.path and self.weights == RANDOM:
            raise ValueError(
                f"backbone.weights={RANDOM} has no effect beside backbone.path={self.path}. Give one of them."
            )
        if self.weights_seed and self.weights != RANDOM:
            raise ValueError(
                f"backbone.weights_seed={self.weights_seed} has no effect on weights that are not random. "
                f"Add backbone.weights={RANDOM}."
            )


def build(knobs: Knobs) -> Backbone:
    """The backbone with these weights. Raises: ValueError where the file is not to be read, or does not fit."""
    backbone = seeded(SHAPE, knobs.weights_seed, UNTRAINED)
    if knobs.weights == RANDOM:
        return backbone
    file = Path(knobs.path) if knobs.path else FILE
    tensors = read_checkpoint(file)
    hashed = hashlib.sha256(file.read_bytes()).hexdigest()
    if is_pretraining(tensors):
        load_pretrained(backbone, tensors)
    else:
        load_classifier(backbone, tensors)
    if knobs.path:
        how = "pre-trained" if is_pretraining(tensors) else "fine-tuned as a classifier"
        backbone.provenance = f"{how} (file {file.name}, SHA-256 {hashed})"
    else:
        if hashed != card()["weights_sha256"]:
            raise ValueError(f"{file}: its SHA-256 is not that of its card, {CARD.name}. Install fedcmr anew.")
        backbone.provenance = f"embedded weights, pre-trained on simulated hearts alone (SHA-256 {hashed})"
    return backbone


def card() -> dict[str, object]:
    """The model card of the embedded weights: data, recipe, command, seed, date, scores, limits, vendors seen."""
    said: dict[str, object] = json.loads(CARD.read_text(encoding="utf-8"))
    return said
