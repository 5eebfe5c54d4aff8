"""The Lightning Trainer of a visit: quiet, without files, one device."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException

from fedcmr.federation.tuner import Knobs


def trainer(knobs: Knobs, steps: int) -> Trainer:
    """A Trainer for `steps` optimizer steps; 0 steps for one that only predicts.

    Raises: ValueError where the machine has no such accelerator or precision.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return Trainer(
            accelerator=knobs.accelerator,
            devices=1,
            precision=knobs.precision,  # type: ignore[arg-type]
            max_steps=steps,
            max_epochs=-1,
            gradient_clip_val=knobs.clip or None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except MisconfigurationException as error:
        asked = f"visit.accelerator={knobs.accelerator}, visit.precision={knobs.precision}"
        raise ValueError(f"{asked}: this machine cannot ({error}). Leave them out for the CPU in float32.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's advice on loaders and devices, which holds for one long training, not for many short ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
