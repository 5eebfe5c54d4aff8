"""A light decoder of hidden tokens: each asks the visible ones by cross-attention, and never another hidden one.

Names of attributes are the foundation model's. Source: Fu et al. 2025, CineMA, https://arxiv.org/abs/2506.00679, after
    Fu et al. 2024, CrossMAE, https://arxiv.org/abs/2401.14391. Written anew; checked against the published model's
    numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedcmr.models.blocks import EPS, Block
from fedcmr.models.positions import position_code


@dataclass(frozen=True)
class DecoderShape:
    """Sizes of the decoder; the defaults are those of the published weights.

    Args:
        width: a multiple of `heads`. depth: number of blocks.
    Raises: ValueError for a width that the heads do not divide, and for no block at all.
    """

    width: int = 512
    depth: int = 8
    heads: int = 16

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width < 1 or self.width % self.heads or self.depth < 1:
            raise ValueError(f"{self}: expected at least one block, and a width that is a multiple of the heads.")


class CrossBlock(Block):
    """x + attn(norm1 x, visible), then x + mlp(norm2 x): only what asks is normed, (B, M, D), (B, V, D) -> (B, M, D).

    What is asked comes from normed features and is the same in every block.
    """

    def across(self, asking_BMD: Tensor, visible_BVD: Tensor) -> Tensor:
        asking_BMD = asking_BMD + self.attn.across(self.norm1(asking_BMD), visible_BVD)
        return asking_BMD + self.mlp(self.norm2(asking_BMD))


class Decoder(nn.Module):
    """The blocks and the last norm, as `encoder` has them: (B, M, D), (B, V, D) -> (B, M, D)."""

    def __init__(self, shape: DecoderShape, mlp_ratio: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CrossBlock(shape.width, shape.heads, mlp_ratio) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=EPS)

    def forward(self, asking_BMD: Tensor, visible_BVD: Tensor) -> Tensor:
        for block in self.blocks:
            assert isinstance(block, CrossBlock)
            asking_BMD = block.across(asking_BMD, visible_BVD)
        return self.norm(asking_BMD)


class DecoderEmbedding(nn.Module):
    """What a view's tokens are to the decoder beside their content: a position, and a word for "hidden"."""

    pos_embed: Tensor

    def __init__(self, grid: Sequence[int], width: int) -> None:
        super().__init__()
        self.register_buffer("pos_embed", position_code(grid, width))
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
