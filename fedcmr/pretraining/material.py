"""What a pre-training is made of: whose images, seen through which augmentation, and a model of which size."""

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
from fedcmr.data.volumes import Volumes, augment, augment_masks
from fedcmr.models.mapping import FIRST_CONV, has_decoder, load_pretrained, read_checkpoint
from fedcmr.models.masked import MaskedAutoencoder, seeded_autoencoder
from fedcmr.models.shape import BackboneShape
from fedcmr.models.stem import Stem
from fedcmr.pretraining.images import Images, Look, Sight
from fedcmr.pretraining.knobs import DATA, PAIR, Knobs, Who
from fedcmr.pretraining.targets import VIEW
from fedcmr.tensors import Tensors

TRAINING = "training"


@dataclass(frozen=True)
class Material:
    """All that is trained on, and the sizes of what trains.

    Args:
        knobs: the recipe.
        shape: of the backbone, for images of one frame or of two.
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
            go_on_from(model, read_checkpoint(Path(self.knobs.start)), self.knobs.masked > 0)
        return model

    def images(self) -> Images:
        """Every image, with what is hidden of it and what masks say."""
        with torch.device("meta"):
            tokens = math.prod(Stem(self.shape, VIEW).grid)
        is_paired = self.knobs.channels == PAIR
        return Images(self.pairs, self.look, is_paired, tokens, self.knobs.mask_ratio, self.knobs.seed)

    def shown(self) -> Mapping[str, Mapping[str, Tensor]]:
        """One image of each client as it is seen before the first epoch, to be drawn."""
        images, first = self.images(), {pair.client: number for number, pair in reversed([*enumerate(self.pairs)])}
        return {
            f"{client}, {self.pairs[first[client]].id}": images[-1, images.first_of(first[client])]
            for client in sorted(first)
        }

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

    def look(pair: Case, epoch: int) -> Sight:
        # view 0 is the plain one, which pictures show
        volume, drawn = volumes[pair], (pair.id, epoch + 1, knobs.seed, augmentation)
        masks = augment_masks(volumes.masks(pair), volume, *drawn) if knobs.needs_masks else None
        return Sight(augment(volume, *drawn), masks)

    cases = training_cases(config, volumes)
    shape = replace(shape, frames=2 if knobs.channels == PAIR else 1)
    return Material(knobs, shape, cases, tuple(all_pairs(cases, knobs.frames)), look)


def go_on_from(model: MaskedAutoencoder, tensors: Tensors, needs_decoder: bool) -> None:
    """Loads weights of a pre-training or of a classifier, heads aside.

    An encoder of one channel is repeated to two, as a classifier takes it. The decoder stays as it is where it is not
    needed, the file has none, or the file's is for another number of channels.
    Raises: ValueError that lists what does not fit; nothing is then changed.
    """
    channels = {tensor.shape[1] for name, tensor in tensors.items() if name.endswith(FIRST_CONV)}
    if needs_decoder and has_decoder(tensors) and channels == {model.shape.frames}:
        model.load_strictly(tensors)
    else:
        load_pretrained(model, tensors)


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
