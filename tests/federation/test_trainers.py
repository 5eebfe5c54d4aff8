"""The Trainer of a visit."""

from dataclasses import replace

import pytest
import torch

from fedcmr.federation.trainers import trainer
from fedcmr.federation.tuner import Knobs


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the accelerator that others lack")
def test_an_accelerator_that_the_machine_lacks_is_a_wrong_wish() -> None:
    with pytest.raises(ValueError, match=r"visit\.accelerator=gpu.*this machine cannot"):
        trainer(replace(Knobs(), accelerator="gpu"), 1)


def test_a_trainer_writes_nothing_and_stops_after_its_steps() -> None:
    made = trainer(Knobs(), 3)
    assert made.max_steps == 3
    assert made.logger is None
    assert not made.checkpoint_callbacks
