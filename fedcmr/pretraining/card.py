"""The weights of a pre-training and their card: what they were made of, by which recipe, when, and how it went."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save

from fedcmr import config as configuration
from fedcmr.config import Config
from fedcmr.data.store import write_whole
from fedcmr.pretraining.knobs import DATA
from fedcmr.pretraining.material import Material
from fedcmr.reports.folder import CONFIG
from fedcmr.tensors import Tensors

CARD, WEIGHTS = "card.json", "weights.safetensors"
LAYOUT = "CineMA masked autoencoder: encoder, and the decoder that only pre-training uses"


def begin_card(folder: Path, config: Config, material: Material, began: str, command: str) -> None:
    """Writes what is known before the first step.

    Args:
        began: date and time of the start. command: as one would type it again.
    """
    about = configuration.about(folder / CONFIG)
    plain = config.plain()
    patients = material.patients()
    _write(
        folder,
        {
            "layout": LAYOUT,
            "shape": asdict(material.shape),
            "data": plain["data"],
            "patients": "simulated hearts (phantoms), no real patient" if config.names["data"] == DATA else "real",
            "clients_seen": list(patients),
            "training_patients": patients,
            "frames": 2 * len(material.pairs),
            "recipe": {**plain["pretrain"], "augment": plain["augment"]},
            "seed": material.knobs.seed,
            "command": command,
            "began": began,
            "versions": about["versions"],
            "git_commit": about["git_commit"],
        },
    )


def read_card(folder: Path) -> dict[str, object]:
    """Raises: ValueError where the card is no card."""
    try:
        said = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder / CARD}: cannot be read ({error}). Choose another folder.") from error
    if not isinstance(said, dict):
        raise ValueError(f"{folder / CARD}: expected an object, met {type(said).__name__}. Choose another folder.")
    return said


def write_weights(folder: Path, tensors: Tensors, curve: Sequence[float]) -> None:
    """Writes the weights, equal for equal trainings byte for byte, and completes the card, which marks the end.

    Args:
        curve: mean loss of each epoch: mean squared error on hidden voxels of intensities in [0, 1].
    """
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    write_whole(folder / WEIGHTS, content)
    said = {
        **read_card(folder),
        "loss_curve": list(curve),
        "weights": WEIGHTS,
        "weights_bytes": len(content),
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    _write(folder, said)


def _write(folder: Path, said: Mapping[str, object]) -> None:
    write_whole(folder / CARD, (json.dumps(said, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
