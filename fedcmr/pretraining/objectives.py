"""What masks teach: each objective is a small head on the backbone's features, with a loss.

All heads are linear, so that what they need stands in the features and a linear head of a later task can read it there.
Their losses and constants are our choice.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool3d, interpolate, log_softmax, mse_loss, smooth_l1_loss

from fedcmr.branches import starting_generator
from fedcmr.data.masks import STRUCTURES
from fedcmr.models.masked import MaskedAutoencoder
from fedcmr.pretraining.targets import CLASSES, COARSE, MEASURES, SHARES, VIEW, measured

HEAD_START = 0.1
CLASS_WEIGHTS = (0.4, 1.2, 1.2, 1.2)
"""Of background and structures in the cross entropy: nine in ten coarse voxels are background."""

CELL = 16
"""Voxels along X and Y of a cell in which a token tells shares; a token of less is one cell."""

CROSS_ENTROPY, DICE, CELLS = 4.0, 0.3, 50.0
"""Weights of the parts of `Segment`; the last is one over the variance of a structure's share of a cell, about 0.02."""


class Segment(nn.Module):
    """Shares of the structures: as outlines in coarse voxels, and by tokens alone in cells of about 16 mm.

    logits = up(W f) + Σ_i up(V_i s_i), f the tokens and s_i the output of stage i, each linear at its own place;
    loss = part(logits at 4 mm) + 50 · mean((U f - t)²) over cells and structures,
    part = 4 · mean(-Σ_l w_l t_l log p_l) + 0.3 · (1 - soft Dice), w = 0.4 for background and 1.2 else, with the soft
    Dice (2 Σ p t + 1) / (Σ p + Σ t + 1), mean over patients, frames and the three structures.
    U f tells shares themselves and not their logits, so the mean of all tokens tells volumes by the same linear map.

    Args:
        model: whose features are read.
        seed: of the starting values.
    Raises: ValueError where coarse voxels do not fill the stem's voxels.
    """

    def __init__(self, model: MaskedAutoencoder, seed: int) -> None:
        super().__init__()
        stem, shape = model.stem(VIEW), model.shape
        if any(size % COARSE for size in shape.patch_of(VIEW)[:2]):
            raise ValueError(
                f"pretrain.segment: the stem begins with patches of {shape.patch_of(VIEW)} voxels; expected multiples "
                f"of {COARSE} in plane. Choose another backbone, or pretrain.segment=0."
            )
        px, py, pz = stem.whole_patch
        self.grid, self.frames = stem.grid, shape.frames
        self.within = (max(px // CELL, 1), max(py // CELL, 1), pz)
        cells, outputs = math.prod(self.within), shape.frames * CLASSES
        self.cells = nn.Linear(model.width, shape.frames * len(STRUCTURES) * cells)
        self.tokens = nn.Linear(model.width, outputs * cells)
        self.stages = nn.ModuleList(nn.Linear(channels, outputs) for channels in shape.stem_channels)
        start_head(self.cells, seed, "segment.cells")
        start_head(self.tokens, seed, "segment.tokens")
        for index, stage in enumerate(self.stages):
            assert isinstance(stage, nn.Linear)
            start_head(stage, seed, f"segment.stages.{index}")

    def forward(self, features: Mapping[str, Tensor], stages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Logits of the first stage's voxels (B, C, L, X', Y', Z), and shares of the tokens' cells (B, C, L - 1, …).

        Args:
            features: of the backbone. stages: of its stem, (B, channels, *grid) each.
        """
        told = self._placed(self.tokens(features[VIEW]))
        for head, stage in zip(reversed(self.stages), reversed(stages), strict=True):
            said = rearrange(head(rearrange(stage, "b c ... -> b ... c")), "b ... k -> b k ...")
            told = interpolate(told, size=said.shape[2:], mode="nearest") + said
        cells = self._placed(self.cells(features[VIEW]))
        return told.unflatten(1, (self.frames, CLASSES)), cells.unflatten(1, (self.frames, len(STRUCTURES)))

    def losses(
        self, features: Mapping[str, Tensor], stages: Sequence[Tensor], batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """{"segment": the loss, "dice": the soft Dice of coarse voxels}, each ()."""
        fine, cells = self(features, stages)
        loss, dice = compared(fine, batch[SHARES])
        error = mse_loss(cells.float(), pooled(batch[SHARES], cells.shape[3:])[:, :, 1:])
        return {"segment": loss + CELLS * error, "dice": dice.detach()}

    def _placed(self, told_BNK: Tensor) -> Tensor:
        """What tokens tell of their cells, each at its place: (B, K / cells, X', Y', Z)."""
        (h, w, z), (p, q, r) = self.grid, self.within
        return rearrange(told_BNK, "b (h w z) (k p q r) -> b k (h p) (w q) (z r)", h=h, w=w, z=z, p=p, q=q, r=r)


def compared(logits: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Loss and soft Dice of logits (B, C, L, x, y, z) against shares on a grid as fine or finer, each ()."""
    shares = pooled(shares, logits.shape[3:])
    log_BCLXYZ = log_softmax(logits.float(), dim=2)
    weights = torch.tensor(CLASS_WEIGHTS, device=shares.device)
    entropy = -torch.einsum("bclxyz,bclxyz,l->bcxyz", shares, log_BCLXYZ, weights).mean()
    dice = soft_dice(log_BCLXYZ.exp(), shares).mean()
    return CROSS_ENTROPY * entropy + DICE * (1 - dice), dice


def pooled(shares: Tensor, grid: Sequence[int]) -> Tensor:
    """Shares (B, C, L, X, Y, Z) in the larger voxels of this grid."""
    X, Y, Z = grid
    return adaptive_avg_pool3d(shares.flatten(1, 2), (X, Y, Z)).unflatten(1, shares.shape[1:3])


class Measure(nn.Module):
    """Measures of the heart, once from the class token and once from the mean of the patches' tokens, linear each.

    loss = mean smooth L1 of what `targets.measured` says, over both answers and the measures that are defined. Each of
    the two is asked by itself because a classifier's head reads both.

    Args:
        model: whose features are read; of ED and ES as two channels.
        names: of `targets.MEASURES`, which are asked.
        seed: of the starting values.
    """

    def __init__(self, model: MaskedAutoencoder, names: Sequence[str], seed: int) -> None:
        super().__init__()
        self.places = [list(MEASURES).index(name) for name in names]
        self.cls = nn.Linear(model.width, len(names))
        self.mean = nn.Linear(model.width, len(names))
        start_head(self.cls, seed, "measure.cls")
        start_head(self.mean, seed, "measure.mean")

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Standardised measures by class token and by mean token, (B, 2, number of names)."""
        return torch.stack([self.cls(features["cls"][:, 0]), self.mean(features[VIEW].mean(dim=1))], dim=1)

    def losses(
        self, features: Mapping[str, Tensor], stages: Sequence[Tensor], batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """{"measure": the loss ()}."""
        told = self(features).float()
        wanted = measured(batch[SHARES])[:, None, self.places].expand_as(told)
        defined = ~wanted.isnan()
        error = smooth_l1_loss(told, wanted.nan_to_num(), reduction="none") * defined
        return {"measure": error.sum() / defined.sum().clamp(min=1)}


def soft_dice(told: Tensor, true: Tensor) -> Tensor:
    """(2 Σ p t + 1) / (Σ p + Σ t + 1) of each structure, (B, C, L, X, Y, Z) shares twice -> (B, C, L - 1)."""
    both, either = (part.sum(dim=(3, 4, 5))[:, :, 1:] for part in (told * true, told + true))
    return (2 * both + 1) / (either + 1)


@torch.no_grad()
def start_head(head: nn.Linear, seed: int, name: str) -> None:
    """Weights normal with standard deviation 0.1 / √fan-in, a function of (seed, name); biases 0.

    So the first answers are near 0, as those of the pixel heads.
    """
    drawn = torch.randn(head.weight.shape, generator=starting_generator(seed, f"heads.{name}"))
    head.weight.copy_(drawn * (HEAD_START / math.sqrt(head.in_features)))
    head.bias.zero_()
