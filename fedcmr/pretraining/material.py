"""What a pre-training is made of: whose frames, seen through which augmentation, and a model of which size."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from fedcmr import catalogue
from fedcmr.config import Config
from fedcmr.data.cases import Case, client_name
from fedcmr.data.frames import all_pairs
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.twins import find_twins, join_twins
from fedcmr.data.views import Augmentation
from fedcmr.data.volumes import Volumes, augment
from fedcmr.models.mapping import read_checkpoint
from fedcmr.models.masked import MaskedAutoencoder, seeded_autoencoder
from fedcmr.models.shape import BackboneShape
from fedcmr.models.stem import Stem
from fedcmr.pretraining.images import Frames, Look
from fedcmr.pretraining.knobs import DATA, Knobs, Who
from fedcmr.pretraining.learner import VIEW

TRAINING = "training"


@dataclass(frozen=True)
class Material:
    """All that is trained on, and the sizes of what trains.

    Args:
        knobs: the recipe.
        shape: of the backbone, for images of one frame.
        cases: training patients; pairs: their frames, two and two.
        look: reads a pair.
    """

    knobs: Knobs
    shape: BackboneShape
    cases: tuple[Case, ...]
    pairs: tuple[Case, ...]
    look: Look

    def model(self) -> MaskedAutoencoder:
        """The masked autoencoder at the start. Raises: ValueError where `pretrain.start` does not fit."""
        model = seeded_autoencoder(self.shape, self.knobs.decoder(), self.knobs.seed)
        if self.knobs.start:
            model.load_strictly(read_checkpoint(Path(self.knobs.start)))
        return model

    def frames(self) -> Frames:
        """Every frame with its mask."""
        with torch.device("meta"):
            tokens = math.prod(Stem(self.shape, VIEW).grid)
        return Frames(self.pairs, self.look, tokens, self.knobs.mask_ratio, self.knobs.seed)

    def shown(self) -> Mapping[str, Mapping[str, Tensor]]:
        """One frame of each client as it is seen before the first epoch, to be drawn."""
        frames, first = self.frames(), {pair.client: number for number, pair in reversed([*enumerate(self.pairs)])}
        return {f"{client}, {self.pairs[first[client]].id}": frames[-1, 2 * first[client]] for client in sorted(first)}

    def patients(self) -> Mapping[str, int]:
        """Client -> training patients."""
        return dict(sorted(Counter(case.client for case in self.cases).items()))


def material_of(config: Config, volumes: Volumes) -> Material:
    """Puts it together; opens tables, and images only to find patients who are there twice.

    Raises: ValueError for unknown clients, a backbone without a size of its own, or no training patient.
    """
    knobs, augmentation = config.of("pretrain", Knobs), config.of("augment", Augmentation)
    shape = getattr(catalogue.entry("models", config.names["backbone"]).module, "SHAPE", None)
    if not isinstance(shape, BackboneShape):
        raise ValueError(f"backbone={config.names['backbone']} says no size to train; leave it out for the tiny one.")

    def look(pair: Case, epoch: int) -> Tensor:
        # view 0 is the plain one, which pictures show
        return augment(volumes[pair], pair.id, epoch + 1, knobs.seed, augmentation)

    cases = training_cases(config, volumes)
    return Material(knobs, replace(shape, frames=1), cases, tuple(all_pairs(cases, knobs.frames)), look)


def training_cases(config: Config, volumes: Volumes) -> tuple[Case, ...]:
    """The chosen clients' patients of the official training part, with or without a diagnosis, in the order of ids.

    A patient with another study in another part is left out, so that nobody is seen who may be tested on.
    """
    entry = catalogue.entry("data", config.names["data"])
    cases: list[Case] = entry.build(config.of("data", entry.knobs))
    if config.names["data"] != DATA:
        cases = join_twins(cases, find_twins(cases, volumes.under(Preprocessing())))
    elsewhere = {case.patient for case in cases if case.part != TRAINING}
    known = sorted({case.client for case in cases})
    asked = {client_name(name, known) for name in config.of("", Who).clients} or set(known)
    chosen = [case for case in cases if case.client in asked and case.patient not in elsewhere]
    missing = sorted(asked - {case.client for case in chosen})
    if missing:
        raise ValueError(f"{', '.join(missing)} has no patient of the training part; choose other clients.")
    return tuple(sorted(chosen, key=lambda case: case.id))
