"""Pre-training as a LightningModule: the objectives' losses, the optimizer, and the course of its learning rate."""

import math
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from fedcmr.models.mapping import is_decoder
from fedcmr.models.masked import MaskedAutoencoder
from fedcmr.pretraining.knobs import OBJECTIVES, Knobs
from fedcmr.pretraining.objectives import Measure, Segment
from fedcmr.pretraining.targets import VIEW
from fedcmr.tensors import Tensors

LOSS = "loss"
BETAS = (0.9, 0.95)


class Learner(LightningModule):
    """Trains every weight that an objective of the recipe asks for: loss = Σ weight · loss of the objective.

    Args:
        model: starts as it is.
        knobs: the recipe.

    `heads` are those of the objectives that masks teach. `curves` are the means of each epoch so far of the loss, its
    parts and the Dice, by name; checkpoints keep them.
    """

    def __init__(self, model: MaskedAutoencoder, knobs: Knobs) -> None:
        super().__init__()
        # channels that lie side by side make the stem's steps on a CPU nearly twice as fast
        model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch has it, not its stubs
        self.model, self.knobs = model, knobs
        self.heads = nn.ModuleDict()
        if knobs.segment > 0:
            self.heads["segment"] = Segment(model, knobs.seed)
        if knobs.measure > 0:
            self.heads["measure"] = Measure(model, knobs.measures, knobs.seed)
        if not knobs.masked > 0:
            # several devices wait for the gradient of everything that asks for one
            for name, tensor in model.named_parameters():
                tensor.requires_grad_(not is_decoder(name))
        self.curves: dict[str, list[float]] = {}

    def training_step(self, batch: dict[str, Tensor], number: int) -> Tensor:
        said = self.parts(batch)
        loss = torch.stack([getattr(self.knobs, name) * said[name] for name in self.objectives]).sum()
        if len(self.objectives) == 1:
            del said[self.objectives[0]]  # it would be told twice
        for name, value in {LOSS: loss, **said}.items():
            self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["image"]))
        return loss

    @property
    def objectives(self) -> tuple[str, ...]:
        """Those whose weight is above 0."""
        return tuple(name for name in OBJECTIVES if getattr(self.knobs, name) > 0)

    def parts(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The loss of each objective by its name, and what else its head tells of a batch, each ()."""
        image, said = batch["image"].to(memory_format=torch.channels_last_3d), {}
        if "masked" in self.objectives:
            said["masked"] = self.model.loss({VIEW: image}, {VIEW: batch["hidden"]})
        if self.heads:
            features, stages = self.model.with_stages(image, VIEW)
            for head in self.heads.values():
                assert isinstance(head, Segment | Measure)
                said |= head.losses(features, stages, batch)
        return said

    def means(self) -> dict[str, float]:
        """Loss, its parts and the Dice of the epoch that ended just now, by name."""
        return {name: float(value) for name, value in self.trainer.callback_metrics.items()}

    def weights(self) -> Tensors:
        """What is kept of the model: all of the masked autoencoder, or where nothing was hidden its encoder alone."""
        tensors = self.model.state_dict()
        return tensors if self.knobs.masked > 0 else {n: tensor for n, tensor in tensors.items() if not is_decoder(n)}

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
        for name, mean in self.means().items():
            self.curves.setdefault(name, []).append(mean)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["curves"] = {name: list(curve) for name, curve in self.curves.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.curves = {name: list(curve) for name, curve in checkpoint["curves"].items()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW, and a rate that changes with every step."""
        trained = [tensor for tensor in self.parameters() if tensor.requires_grad]
        weights = [tensor for tensor in trained if tensor.ndim > 1]
        others = [tensor for tensor in trained if tensor.ndim <= 1]
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
