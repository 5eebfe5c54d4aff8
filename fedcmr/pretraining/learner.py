"""The masked autoencoder as a LightningModule: its loss, its optimizer, and the course of its learning rate."""

import math
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from fedcmr.models.masked import MaskedAutoencoder
from fedcmr.pretraining.knobs import Knobs

VIEW = "sax"
LOSS = "loss"
BETAS = (0.9, 0.95)


class Learner(LightningModule):
    """Trains every weight of the masked autoencoder.

    Args:
        model: starts as it is.
        knobs: the recipe.

    `curve` is the mean loss of each epoch so far; checkpoints keep it.
    """

    def __init__(self, model: MaskedAutoencoder, knobs: Knobs) -> None:
        super().__init__()
        # channels that lie side by side make the stem's steps on a CPU nearly twice as fast
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch has it, not its stubs
        self.model, self.knobs = model, knobs
        self.curve: list[float] = []

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        image = batch["image"].to(memory_format=torch.channels_last_3d)
        loss = self.model.loss({VIEW: image}, {VIEW: batch["hidden"]})
        self.log(LOSS, loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Shortens the gradient to the recipe's norm. Raises: ValueError where it is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), self.knobs.clip or math.inf)
        # clipped to nothing by an infinite norm, weights would stand still and nobody would know
        if not math.isfinite(float(norm)):
            raise ValueError(
                f"The gradient of epoch {self.current_epoch + 1} has norm {float(norm)}: training diverged. "
                f"Lower pretrain.lr={self.knobs.lr:g}, or lengthen pretrain.warmup={self.knobs.warmup:g}."
            )

    def on_train_epoch_end(self) -> None:
        self.curve.append(float(self.trainer.callback_metrics[LOSS]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curve"] = list(self.curve)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curve = list(checkpoint["curve"])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, and a rate that changes with every step."""
        weights = [tensor for tensor in self.parameters() if tensor.ndim > 1]
        others = [tensor for tensor in self.parameters() if tensor.ndim <= 1]
        groups: list[dict[str, Any]] = [{"params": weights}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, self.knobs.lr, BETAS, weight_decay=self.knobs.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        warm = round(self.knobs.warmup * steps / self.knobs.epochs)
        scheduler = LambdaLR(optimizer, lambda step: share_of_rate(step, warm, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def share_of_rate(step: int, warm: int, steps: int) -> float:
    """Learning rate of step 0 … steps over the greatest one: (step + 1) / warm, then (1 + cos π t) / 2.

    Here t = (step - warm) / (steps - warm); the rate of the last step is just above 0.
    """
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1))) / 2
