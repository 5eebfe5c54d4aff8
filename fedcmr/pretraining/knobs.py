"""What can be set of a pre-training, beside the knobs of its data set."""

from dataclasses import dataclass

from fedcmr import catalogue
from fedcmr.config import Raw, Schema
from fedcmr.data.frames import WISHES
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.views import Augmentation
from fedcmr.models.decoder import DecoderShape

DATA, BACKBONE = "phantom", "tiny"
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class Who:
    """clients: whose training patients are seen; empty for all that the data has."""

    clients: tuple[str, ...] = ()


@dataclass(frozen=True)
class Knobs:
    """The recipe. Where it is not CineMA's, the default is our choice.

    Args:
        epochs: passes over all frames, ≥ 1.
        batch: frames in a batch of each device, ≥ 1.
        lr: greatest rate of AdamW, > 0; it rises over `warmup` epochs and falls to 0 along half a cosine.
        warmup: epochs, ≥ 0 and fewer than `epochs`; need not be whole.
        weight_decay: ≥ 0, on tensors of two axes and more.
        clip: greatest norm of the gradient, ≥ 0; 0 does not clip.
        mask_ratio: share of hidden tokens, in (0, 1).
        seed: of starting values, order, masks and augmented views.
        frames: "ends" (ED and ES), or "cine" (as many pairs of frames, half a cycle apart, as the file holds).
        decoder_width, decoder_depth, decoder_heads: sizes of the decoder, which is left aside afterwards.
        start: a masked autoencoder's weights to go on from; empty for weights drawn from the seed.
        picture_every: epochs between pictures of what is told, ≥ 0; 0 for none.
        accelerator, devices: Lightning's, for example gpu and 2.
        precision: "32-true" or "bf16-mixed".
        workers: processes that load frames, ≥ 0; 0 loads beside the training.
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
        self.decoder()

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
