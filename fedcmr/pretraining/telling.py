"""What is seen of a pre-training while it goes on: lines, pictures, W&B."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lightning import Callback, LightningModule, Trainer
from rich.console import Console
from rich.status import Status

from fedcmr.pretraining.learner import Learner
from fedcmr.pretraining.pictures import Shown, draw

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

PICTURES = "pictures"


class Teller(Callback):
    """Lines with losses, rate, time and time left; on a terminal the step of the epoch as well; pictures now and then.

    Args:
        console: where to write.
        folder: of the run; pictures go below <folder>/pictures.
        shown: images that are drawn.
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
        means, rate = module.means(), float(trainer.optimizers[0].param_groups[0]["lr"])
        told = " | ".join(f"{name} {mean:.5f}" for name, mean in means.items())
        self.console.print(
            f"epoch {done}/{of} | {told} | lr {rate:.2e} | {seconds:.1f} s, {left / 60:.1f} min left",
            highlight=False,
            soft_wrap=True,
        )
        if self.records is not None:
            self.records.log_metrics({**means, "lr": rate, "seconds": seconds, "epoch": done}, step=done)
        if self.every and (done % self.every == 0 or done == of):
            self._draw(module, done, told)

    def teardown(self, trainer: Trainer, module: LightningModule, stage: str) -> None:
        if self.status is not None:
            self.status.stop()
            self.status = None

    def _draw(self, learner: Learner, epoch: int, told: str) -> None:
        files = draw(learner, self.shown, self.folder / PICTURES, epoch, f"epoch {epoch} | {told}")
        if self.records is not None:
            for kind, file in files.items():
                self.records.log_image(kind, [str(file)], step=epoch)
