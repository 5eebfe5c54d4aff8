"""Frames and their masks as a LightningDataModule: which frame comes when, and what is hidden of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fedcmr.data.cases import Case
from fedcmr.models.masked import hidden_tokens
from fedcmr.tensors import starting_generator

Place = tuple[int, int]
"""(epoch, number of the frame)."""

Look = Callable[[Case, int], Tensor]
"""(a pair of frames, epoch) -> its volume (2, X, Y, Z) in [0, 1], as it is seen in that epoch."""


class Frames(Dataset[dict[str, Tensor]]):
    """Every frame of every pair as an image of one channel, {"image": (1, X, Y, Z), "hidden": (N,) bool}.

    A mask is a function of (seed, epoch, case, frame), so neither order nor worker nor a new start changes it.

    Args:
        pairs: cases; frame 2 i is the first of pair i, frame 2 i + 1 its second.
        look: reads a pair.
        tokens: N.
        ratio: share of hidden tokens. seed: of the masks.
    """

    def __init__(self, pairs: Sequence[Case], look: Look, tokens: int, ratio: float, seed: int) -> None:
        self.pairs, self.look, self.tokens, self.ratio, self.seed = pairs, look, tokens, ratio, seed

    def __len__(self) -> int:
        return 2 * len(self.pairs)

    def __getitem__(self, place: Place) -> dict[str, Tensor]:
        epoch, number = place
        pair, which = self.pairs[number // 2], number % 2
        index = (pair.ed, pair.es)[which].index
        name = f"mask/{epoch}/{pair.id}/{which if index is None else index}"
        image = self.look(pair, epoch)[which : which + 1]
        return {"image": image, "hidden": hidden_tokens(self.tokens, self.ratio, self.seed, name)}


@dataclass
class Order(Sampler[Place]):
    """Every frame once an epoch, in an order that is a function of (seed, epoch), dealt out to the devices in turn.

    Where the devices do not divide the number of frames, the first ones of the order come twice.

    Args:
        count: frames. seed: of the order.
        device, devices: this one, from 0, and how many there are.
        epoch: set by the trainer.
    """

    count: int
    seed: int
    device: int = 0
    devices: int = 1
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """The trainer tells at the start of each epoch, a resumed one too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.devices)

    def __iter__(self) -> Iterator[Place]:
        generator = starting_generator(self.seed, f"order/{self.epoch}")
        order = torch.randperm(self.count, generator=generator).tolist()
        whole = order + order[: len(self) * self.devices - self.count]
        return iter([(self.epoch, number) for number in whole[self.device :: self.devices]])


class FrameData(LightningDataModule):
    """The frames in batches.

    Args:
        frames: all of them.
        batch: of each device. workers: loading processes.
    """

    def __init__(self, frames: Frames, batch: int, workers: int) -> None:
        super().__init__()
        self.frames, self.batch, self.workers = frames, batch, workers

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        trainer = self.trainer
        device, devices = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        order = Order(len(self.frames), self.frames.seed, device, devices)
        return DataLoader(
            self.frames, self.batch, sampler=order, num_workers=self.workers, persistent_workers=self.workers > 0
        )
