"""What can be set of a pre-training, beside the knobs of its data set."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from fedcmr import catalogue
from fedcmr.config import Raw, Schema
from fedcmr.data.frames import ENDS, WISHES
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.views import Augmentation
from fedcmr.models.decoder import DecoderShape
from fedcmr.pretraining.targets import MEASURES

DATA, BACKBONE = "phantom", "tiny"
PRECISIONS = ("32-true", "bf16-mixed")
OBJECTIVES = ("masked", "segment", "measure")
CHANNELS = SINGLE, PAIR = ("single", "pair")


@dataclass(frozen=True)
class Who:
    """clients: whose training patients are seen; empty for all that the data has."""

    clients: tuple[str, ...] = ()


@dataclass(frozen=True)
class Knobs:
    """The recipe. Where it is not CineMA's, the default is our choice.

    Args:
        epochs: passes over all images, ≥ 1.
        batch: images in a batch of each device, ≥ 1.
        lr: greatest rate of AdamW, > 0; it rises over `warmup` epochs and falls to 0 along half a cosine.
        warmup: epochs, ≥ 0 and fewer than `epochs`; need not be whole.
        weight_decay: ≥ 0, on tensors of two axes and more.
        clip: greatest norm of the gradient, ≥ 0; 0 does not clip.
        mask_ratio: share of hidden tokens, in (0, 1).
        seed: of starting values, order, hidden patches and augmented views.
        frames: "ends" (ED and ES), or "cine" (as many pairs of frames, half a cycle apart, as the file holds).
        decoder_width, decoder_depth, decoder_heads: sizes of the decoder, which is left aside afterwards.
        masked: weight of the masked loss, ≥ 0: mean squared error on the voxels of hidden patches.
        segment: weight of the segmentation's loss, ≥ 0, see `objectives.Segment`; needs masks.
        measure: weight of the regression of volumes, mass and EF, ≥ 0, see `objectives.Measure`; needs masks and
            channels=pair. At least one of the three is above 0.
        measures: which are regressed, of `targets.MEASURES`.
        channels: "single" (each frame is an image, as the foundation model was pre-trained) or "pair" (ED and ES are
            two channels of one, as a frozen backbone takes them).
        start: weights to go on from, of a pre-training or of a classifier; empty for weights drawn from the seed. What
            the file does not hold starts from the seed: the decoder where it has none, or one of other channels.
        picture_every: epochs between pictures of what is told, of hidden patches or of outlines, ≥ 0; 0 for none.
        accelerator, devices: Lightning's, for example gpu and 2.
        precision: "32-true" or "bf16-mixed".
        workers: processes that load images, ≥ 0; 0 loads beside the training.
    Raises: ValueError outside these ranges.
    """

    epochs: int = 100
    batch: int = 8
    lr: float = 1e-3
    warmup: float = 5.0
    weight_decay: float = 0.05
    clip: float = 1.0
    mask_ratio: float = 0.75
    seed: int = 0
    frames: str = "ends"
    decoder_width: int = 96
    decoder_depth: int = 2
    decoder_heads: int = 2
    masked: float = 1.0
    segment: float = 0.0
    measure: float = 0.0
    measures: tuple[str, ...] = tuple(MEASURES)
    channels: str = SINGLE
    start: str = ""
    picture_every: int = 10
    accelerator: str = "cpu"
    devices: int = 1
    precision: str = "32-true"
    workers: int = 0

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch": 1, "devices": 1, "seed": 0, "picture_every": 0, "workers": 0}.items():
            if getattr(self, name) < least:
                raise ValueError(f"pretrain.{name}={getattr(self, name)}: expected at least {least}.")
        if not (self.lr > 0 and self.weight_decay >= 0 and self.clip >= 0):
            raise ValueError(
                f"pretrain.lr={self.lr:g}, weight_decay={self.weight_decay:g}, clip={self.clip:g}: "
                "expected a rate above 0, and neither of the others below 0."
            )
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"pretrain.mask_ratio={self.mask_ratio:g}: expected a share between 0 and 1.")
        if not 0 <= self.warmup < self.epochs:
            raise ValueError(f"pretrain.warmup={self.warmup:g}: expected at least 0, and fewer than {self.epochs}.")
        if self.precision not in PRECISIONS:
            raise ValueError(f"pretrain.precision={self.precision}: expected one of {', '.join(PRECISIONS)}.")
        if self.frames not in WISHES:
            raise ValueError(f"pretrain.frames={self.frames}: expected one of {', '.join(WISHES)}.")
        self._check_objectives()
        self.decoder()

    @property
    def needs_masks(self) -> bool:
        """Whether an objective learns from masks."""
        return self.segment > 0 or self.measure > 0

    def _check_objectives(self) -> None:
        weights = {name: getattr(self, name) for name in OBJECTIVES}
        told = ", ".join(f"{name}={weight:g}" for name, weight in weights.items())
        if min(weights.values()) < 0 or not sum(weights.values()) > 0:
            raise ValueError(f"pretrain: {told}; expected no weight below 0, and at least one above.")
        if self.channels not in CHANNELS:
            raise ValueError(f"pretrain.channels={self.channels}: expected one of {', '.join(CHANNELS)}.")
        if self.measure > 0 and self.channels != PAIR:
            raise ValueError(
                f"pretrain.measure={self.measure:g} asks for EF, which one frame cannot tell: expected "
                f"pretrain.channels={PAIR}, met {self.channels}."
            )
        if self.needs_masks and self.frames != ENDS:
            raise ValueError(
                f"pretrain: {told} with frames={self.frames}; expected frames={ENDS}, which alone have masks."
            )
        self._refuse_idle("masked", ("mask_ratio", "decoder_width", "decoder_depth", "decoder_heads"))
        self._refuse_idle("measure", ("measures",))
        unknown = sorted(set(self.measures) - set(MEASURES))
        if unknown or not self.measures or len(set(self.measures)) < len(self.measures):
            raise ValueError(
                f"pretrain.measures={','.join(self.measures)}: expected at least one, none twice, of "
                f"{', '.join(MEASURES)}."
            )

    def _refuse_idle(self, objective: str, knobs: Sequence[str]) -> None:
        defaults = {field.name: field.default for field in fields(self)}
        idle = [f"{name}={getattr(self, name)}" for name in knobs if getattr(self, name) != defaults[name]]
        if idle and not getattr(self, objective) > 0:
            raise ValueError(
                f"pretrain: {', '.join(idle)} has no effect with {objective}=0; expected pretrain.{objective} above 0. "
                "Leave it out."
            )

    def decoder(self) -> DecoderShape:
        """Sizes of the decoder. Raises: ValueError where they do not fit one another."""
        return DecoderShape(self.decoder_width, self.decoder_depth, self.decoder_heads)


def schema(raw: Raw) -> Schema:
    """Which knobs there are, given the data set that `raw` names; completes the missing names in `raw`.

    Raises: ValueError for an unknown data set or backbone, with the nearest known name.
    """
    names = {}
    for part, default, folder in (("data", DATA, "data"), ("backbone", BACKBONE, "models")):
        section = raw.setdefault(part, {})
        if not isinstance(section, dict):
            raise ValueError(f"'{part}: {section}' in the configuration: expected {part}=NAME or {part}.knob=value.")
        names[part] = catalogue.entry(folder, str(section.setdefault("name", default)))
    return {
        "": (Who,),
        "data": (Preprocessing, names["data"].knobs),
        "backbone": (),
        "augment": (Augmentation,),
        "pretrain": (Knobs,),
    }
