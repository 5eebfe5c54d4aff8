"""Weights, pre-trained further on the images of some patients: no label, no mask, nobody else.

Masked patches of single frames or of pairs, as the weights take them, by the machinery of `python -m fedcmr.pretrain`.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedcmr.data.cases import Case
from fedcmr.data.views import Augmentation
from fedcmr.data.volumes import Volumes, augment
from fedcmr.federation.trainers import SharedTrainer, quiet
from fedcmr.federation.tuner import Knobs as VisitKnobs
from fedcmr.models import tiny
from fedcmr.models.backbone import Backbone, seeded
from fedcmr.models.mapping import FIRST_CONV, load_pretrained, read_checkpoint
from fedcmr.models.threads import one_thread
from fedcmr.pretraining.images import ImageData, Sight
from fedcmr.pretraining.knobs import PAIR, SINGLE, Knobs
from fedcmr.pretraining.learner import Learner
from fedcmr.pretraining.material import Material

AUGMENTATION = Augmentation(contrast=0.5, affine=0.5, rotate_deg=30.0, translate_mm=15.0)
LEARNING_RATE = 3e-4


def further(weights: Path, cases: Sequence[Case], volumes: Volumes, epochs: int) -> Backbone:
    """The backbone after `epochs` passes over ED and ES of these cases. A function of its arguments.

    Args:
        weights: of `python -m fedcmr.pretrain`. cases: who is seen, and nobody else.
    """
    tensors = read_checkpoint(weights)
    channels = {tensor.shape[1] for name, tensor in tensors.items() if name.endswith(FIRST_CONV)}
    knobs = Knobs(
        epochs=epochs,
        warmup=0.1 * epochs,
        lr=LEARNING_RATE,
        channels=PAIR if channels == {2} else SINGLE,
        start=str(weights),
        picture_every=0,
    )

    def look(pair: Case, epoch: int) -> Sight:
        return Sight(augment(volumes[pair], pair.id, epoch + 1, knobs.seed, AUGMENTATION), None)

    shape = replace(tiny.SHAPE, frames=2 if knobs.channels == PAIR else 1)
    material = Material(knobs, shape, tuple(cases), tuple(cases), look)
    images = material.images()
    learner, steps = Learner(material.model(), knobs), -(-len(images) // knobs.batch) * epochs
    with one_thread(), quiet():
        SharedTrainer(VisitKnobs(clip=0.0)).fit(learner, ImageData(images, knobs.batch, knobs.workers), steps)
    backbone = seeded(tiny.SHAPE, 0, f"{weights.name}, further pre-trained on {len(cases)} patients")
    load_pretrained(backbone, learner.weights())
    return backbone
