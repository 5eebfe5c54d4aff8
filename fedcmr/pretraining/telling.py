"""What is seen of a pre-training while it goes on: lines, pictures, W&B."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from einops import rearrange
from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.status import Status
from torch import Tensor

from fedcmr.models.masked import MaskedAutoencoder
from fedcmr.pretraining.learner import VIEW, Learner
from fedcmr.reports.reconstructions import Columns, draw_reconstructions

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

PICTURES = "pictures"
Shown = Mapping[str, Mapping[str, Tensor]]
"""Name -> an item of `Frames`, to be drawn."""


class Teller(Callback):
    """Lines with loss, rate, time and time left; on a terminal the step of the epoch as well; pictures now and then.

    Args:
        console: where to write.
        folder: of the run; pictures go below <folder>/pictures.
        shown: frames that are drawn.
        picture_every: epochs between pictures, 0 for none.
        records: W&B's run, None for none.
    """

    def __init__(
        self, console: Console, folder: Path, shown: Shown, picture_every: int, records: "WandbLogger | None"
    ) -> None:
        self.console, self.folder, self.shown, self.every, self.records = console, folder, shown, picture_every, records
        self.began = self.opened = 0.0
        self.first = 0
        self.status: Status | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.opened, self.first = time.perf_counter(), trainer.current_epoch
        if self.console.is_terminal and trainer.is_global_zero:
            self.status = self.console.status("")
            self.status.start()

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.began = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if self.status is not None:
            place = f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"
            self.status.update(f"{place}, step {batch_idx + 1} of {trainer.num_training_batches}")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        assert isinstance(module, Learner)
        done, of = trainer.current_epoch + 1, int(trainer.max_epochs or 0)
        now = time.perf_counter()
        seconds, left = now - self.began, (now - self.opened) / (done - self.first) * (of - done)
        loss, rate = float(trainer.callback_metrics["loss"]), float(trainer.optimizers[0].param_groups[0]["lr"])
        self.console.print(
            f"epoch {done}/{of} | loss {loss:.5f} | lr {rate:.2e} | {seconds:.1f} s, {left / 60:.1f} min left",
            highlight=False,
        )
        if self.records is not None:
            self.records.log_metrics({"loss": loss, "lr": rate, "seconds": seconds, "epoch": done}, step=done)
        if self.every and (done % self.every == 0 or done == of):
            self._draw(module, done, loss)

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if self.status is not None:
            self.status.stop()
            self.status = None

    def _draw(self, learner: Learner, epoch: int, loss: float) -> None:
        file = self.folder / PICTURES / f"epoch-{epoch:04d}.png"
        rows = {name: columns(learner.model, item) for name, item in self.shown.items()}
        draw_reconstructions(file, rows, f"epoch {epoch}, training loss {loss:.5f}")
        if self.records is not None:
            self.records.log_image("reconstruction", [str(file)], step=epoch)


@torch.no_grad()
def columns(model: MaskedAutoencoder, item: Mapping[str, Tensor]) -> Columns:
    """The middle slice of a frame, (X, Y) each: whole, with hidden patches NaN, and with those as the model tells them.

    Args:
        item: {"image": (1, X, Y, Z), "hidden": (N,)}; the middle is that of the slices that are not all zero.
    """
    device = model.encoder.cls_token.device
    image, hidden = (item[name].to(device)[None] for name in ("image", "hidden"))
    told = model.told({VIEW: image}, {VIEW: hidden})[VIEW]
    patches = model.patches(VIEW, image)
    seen, mended = patches.clone(), patches.clone()
    seen[hidden] = float("nan")
    mended[hidden] = rearrange(told, "b m p -> (b m) p")
    filled = image[0, 0].amax(dim=(0, 1)).nonzero().flatten()
    middle = int(filled[len(filled) // 2]) if len(filled) else 0
    original, masked, mended_image = (model.image(VIEW, part)[0, 0, ..., middle] for part in (patches, seen, mended))
    return original.cpu(), masked.cpu(), mended_image.clamp(0, 1).cpu()
