"""Images as a LightningDataModule: which comes when, what is hidden of it, and what masks say of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from fedcmr.branches import starting_generator
from fedcmr.data.cases import Case
from fedcmr.models.masked import hidden_tokens
from fedcmr.pretraining.targets import SHARES, class_shares

Place = tuple[int, int]
"""(epoch, number of the image)."""


@dataclass(frozen=True)
class Sight:
    """A pair of frames as it is seen in an epoch.

    Args:
        volume: (2, X, Y, Z) in [0, 1].
        masks: (2, X, Y, Z) labels of `data.masks.STRUCTURES`, seen alike; None where no objective asks for them.
    """

    volume: Tensor
    masks: Tensor | None


Look = Callable[[Case, int], Sight]
"""(a pair of frames, epoch) -> what is seen of it."""


class Images(Dataset[dict[str, Tensor]]):
    """Every frame as an image of one channel, or every pair as one of two.

    An item is {"image": (C, X, Y, Z), "hidden": (N,) bool}, and where there are masks "shares": (C, L, X / 4, Y / 4, Z)
    of `targets.class_shares`. What is hidden is a function of (seed, epoch, case, frame), so neither order nor worker
    nor a new start changes it.

    Args:
        pairs: cases. With `is_paired`, image i is pair i; else image 2 i is the first frame of pair i, and image
            2 i + 1 its second.
        look: reads a pair.
        tokens: N.
        ratio: share of hidden tokens. seed: of what is hidden.
    """

    def __init__(
        self, pairs: Sequence[Case], look: Look, is_paired: bool, tokens: int, ratio: float, seed: int
    ) -> None:
        self.pairs, self.look, self.is_paired = pairs, look, is_paired
        self.tokens, self.ratio, self.seed = tokens, ratio, seed

    def __len__(self) -> int:
        return len(self.pairs) if self.is_paired else 2 * len(self.pairs)

    def first_of(self, pair: int) -> int:
        """The first image of a pair."""
        return pair if self.is_paired else 2 * pair

    def __getitem__(self, place: Place) -> dict[str, Tensor]:
        epoch, number = place
        pair = self.pairs[number if self.is_paired else number // 2]
        which = slice(0, 2) if self.is_paired else slice(number % 2, number % 2 + 1)
        indices = [frame.index for frame in (pair.ed, pair.es)]
        words = [str(at if index is None else index) for at, index in enumerate(indices)][which]
        seen = self.look(pair, epoch)
        item = {
            "image": seen.volume[which],
            "hidden": hidden_tokens(self.tokens, self.ratio, self.seed, f"mask/{epoch}/{pair.id}/{'-'.join(words)}"),
        }
        return item if seen.masks is None else item | {SHARES: class_shares(seen.masks[which])}


@dataclass
class Order(Sampler[Place]):
    """Every image once an epoch, in an order that is a function of (seed, epoch), dealt out to the devices in turn.

    Where the devices do not divide the number of images, the first ones of the order come twice.

    Args:
        count: images. seed: of the order.
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


class ImageData(LightningDataModule):
    """The images in batches.

    Args:
        images: all of them.
        batch: of each device. workers: loading processes.
    """

    def __init__(self, images: Images, batch: int, workers: int) -> None:
        super().__init__()
        self.images, self.batch, self.workers = images, batch, workers

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        trainer = self.trainer
        device, devices = (trainer.global_rank, trainer.world_size) if trainer is not None else (0, 1)
        order = Order(len(self.images), self.images.seed, device, devices)
        return DataLoader(
            self.images, self.batch, sampler=order, num_workers=self.workers, persistent_workers=self.workers > 0
        )
