"""The convolutional stem of one view: image -> patch tokens, and the skips that join again after the last block.

Names of attributes are the foundation model's, so that its state dict fits without renaming.
Source: Fu et al. 2025, CineMA, https://arxiv.org/abs/2506.00679;
    Gao et al. 2022, ConvMAE, https://arxiv.org/abs/2205.03892.
"""

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from fedcmr.models.positions import position_code, resized
from fedcmr.models.shape import BackboneShape

EPS_CHANNELS = 1e-6
EPS_TOKENS = 1e-5
KERNEL = 5


class TileConv2d(nn.Conv2d):
    """Convolution with kernel = stride, (B, C_in, X, Y) -> (B, C_out, X / p, Y / q): a linear map of each tile."""

    def forward(self, image: Tensor) -> Tensor:
        p, q = self.kernel_size
        tiles = rearrange(image, "b c (h p) (w q) -> b h w (c p q)", p=p, q=q)
        return rearrange(functional.linear(tiles, self.weight.flatten(1), self.bias), "b h w d -> b d h w")


class TileConv3d(nn.Conv3d):
    """The same on three axes. One product of matrices, whose backward pass on a CPU is faster than that of
    PyTorch's convolution. It leaves channels last in memory, as norms and depth-wise convolutions like them.
    """

    def forward(self, image: Tensor) -> Tensor:
        p, q, r = self.kernel_size
        tiles = rearrange(image, "b c (h p) (w q) (z r) -> b h w z (c p q r)", p=p, q=q, r=r)
        return rearrange(functional.linear(tiles, self.weight.flatten(1), self.bias), "b h w z d -> b d h w z")


def tile_convolution(channels_in: int, channels_out: int, tile: Sequence[int]) -> TileConv2d | TileConv3d:
    """Convolution with kernel = stride = `tile`, of 2 or 3 axes; a tile of one voxel is a 1x1 convolution."""
    size = tuple(tile)
    kind = TileConv2d if len(size) == 2 else TileConv3d
    return kind(channels_in, channels_out, size, stride=size)  # type: ignore[arg-type]


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of each voxel: (B, C, *grid) -> (B, C, *grid)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS_CHANNELS)

    def forward(self, image: Tensor) -> Tensor:
        normed = super().forward(rearrange(image, "b c ... -> b ... c"))
        return rearrange(normed, "b ... c -> b c ...")


class PatchConv(nn.Module):
    """Shrinks the grid: convolution with kernel = stride, norm, GELU. (B, C_in, *grid) -> (B, C_out, *grid / patch)."""

    def __init__(self, channels_in: int, channels_out: int, patch: Sequence[int]) -> None:
        super().__init__()
        self.conv = tile_convolution(channels_in, channels_out, patch)
        self.norm = ChannelNorm(channels_out)

    def forward(self, image: Tensor) -> Tensor:
        return functional.gelu(self.norm(self.conv(image)))


class ConvMlp(nn.Module):
    """Two 1x1 convolutions with a GELU between, on each voxel by itself."""

    def __init__(self, channels: int, hidden: int, axes: int) -> None:
        super().__init__()
        self.fc1 = tile_convolution(channels, hidden, (1,) * axes)
        self.fc2 = tile_convolution(hidden, channels, (1,) * axes)

    def forward(self, image: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(image)))


class ConvBlock(nn.Module):
    """x + conv2(depthwise(conv1(norm1 x))), then x + mlp(norm2 x).

    The depth-wise kernel spans 5 voxels along every axis; on three axes it therefore mixes slices.
    """

    def __init__(self, channels: int, axes: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.norm2 = ChannelNorm(channels)
        self.conv1 = tile_convolution(channels, channels, (1,) * axes)
        self.conv2 = tile_convolution(channels, channels, (1,) * axes)
        depthwise = nn.Conv2d if axes == 2 else nn.Conv3d
        self.dw_conv = depthwise(channels, channels, KERNEL, padding=KERNEL // 2, groups=channels)
        self.mlp = ConvMlp(channels, channels * mlp_ratio, axes)

    def forward(self, image: Tensor, visible: Tensor | None = None) -> Tensor:
        """(B, C, *grid) -> (B, C, *grid); where `visible` (B, 1, *grid) is 0, a voxel is no neighbour's neighbour."""
        mixed = self.conv1(self.norm1(image))
        image = image + self.conv2(self.dw_conv(mixed if visible is None else mixed * visible))
        return image + self.mlp(self.norm2(image))


class Stage(nn.Module):
    """One resolution of the stem: PatchConv, then ConvBlocks. Its output is a skip."""

    def __init__(self, channels_in: int, channels_out: int, patch: Sequence[int], blocks: int, mlp_ratio: int) -> None:
        super().__init__()
        self.patch_embed = PatchConv(channels_in, channels_out, patch)
        self.conv = nn.ModuleList(ConvBlock(channels_out, len(patch), mlp_ratio) for _ in range(blocks))

    def forward(self, image: Tensor, visible: Tensor | None = None) -> Tensor:
        """(B, C_in, *grid) -> (B, C_out, *grid / patch). `visible` (B, 1, *tokens): 0 where a token is hidden."""
        image = self.patch_embed(image)
        if visible is not None:
            visible = functional.interpolate(visible, size=image.shape[2:], mode="nearest-exact")
        for block in self.conv:
            image = block(image, visible)
        return image


class PatchLinear(nn.Module):
    """Patches as tokens, (B, C, *grid) -> (B, N, D): tokens are row-major; inside a patch the channel runs fastest."""

    def __init__(self, channels: int, width: int, patch: Sequence[int]) -> None:
        super().__init__()
        self.patch = tuple(patch)
        self.proj = nn.Linear(channels * int(torch.Size(self.patch).numel()), width)

    def forward(self, image: Tensor) -> Tensor:
        if len(self.patch) == 2:
            p, q = self.patch
            return self.proj(rearrange(image, "b c (h p) (w q) -> b (h w) (p q c)", p=p, q=q))
        p, q, r = self.patch
        return self.proj(rearrange(image, "b c (h p) (w q) (z r) -> b (h w z) (p q r c)", p=p, q=q, r=r))


class Stem(nn.Module):
    """Image of one view -> tokens with their position code, and one skip for each stage.

    The position code is built for the shape's image and interpolated for images of other sizes.
    """

    pos_embed: Tensor

    def __init__(self, shape: BackboneShape, view: str) -> None:
        super().__init__()
        channels, patch, scale = shape.stem_channels, shape.patch_of(view), shape.scale_of(view)
        self.whole_patch = tuple(p * s ** len(channels) for p, s in zip(patch, scale, strict=True))
        self.grid = self.grid_of(shape.image(view))
        self.register_buffer("pos_embed", position_code(self.grid, shape.width))
        inputs = [shape.frames, *channels[:-1]]
        patches = [patch, *[scale] * (len(channels) - 1)]
        self.conv_blocks = nn.ModuleList(
            Stage(c_in, c_out, size, shape.stem_blocks, shape.mlp_ratio)
            for c_in, c_out, size in zip(inputs, channels, patches, strict=True)
        )
        self.patch_embed = PatchLinear(channels[-1], shape.width, scale)
        self.linear = nn.Linear(shape.width, shape.width)

    def forward(self, image: Tensor, hidden_BN: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        """(B, C, *image) -> tokens (B, N, D), skips (B, C_i, *grid_i).

        Args:
            hidden_BN: bool, True for tokens of which no other token may see a voxel; None where all are seen. Their own
                tokens and skips come out too, to be left aside.
        Raises: ValueError for an image that patches do not fill.
        """
        grid = self.grid_of(image.shape[2:])
        visible = None if hidden_BN is None else (~hidden_BN).to(image.dtype).unflatten(1, grid)[:, None]
        skips: list[Tensor] = []
        for stage in self.conv_blocks:
            image = stage(image, visible)
            skips.append(image)
        return self.linear(self.patch_embed(image)) + resized(self.pos_embed, self.grid, grid), skips

    def grid_of(self, image: Sequence[int]) -> tuple[int, ...]:
        """Tokens along each axis of an image of this size. Raises: ValueError where patches do not fill it."""
        fits = len(image) == len(self.whole_patch)
        if not fits or any(n < p or n % p for n, p in zip(image, self.whole_patch, strict=True)):
            raise ValueError(
                f"Image of {tuple(image)} voxels: expected multiples of the patch {self.whole_patch}. "
                "Pad it with zeros at the end, or resample it."
            )
        return tuple(n // p for n, p in zip(image, self.whole_patch, strict=True))


class Fusion(nn.Module):
    """Joins the skips of a view to its tokens after the last block: norm(x + Σ_i down_i(skip_i)).

    The sum does not depend on the blocks, so it is made with the prefix: `summed`, then `forward`.
    """

    def __init__(self, shape: BackboneShape, view: str) -> None:
        super().__init__()
        stages = len(shape.stem_channels)
        kernels = [tuple(s ** (stages - index) for s in shape.scale_of(view)) for index in range(stages)]
        self.down_convs = nn.ModuleList(
            tile_convolution(channels, shape.width, kernel)
            for channels, kernel in zip(shape.stem_channels, kernels, strict=True)
        )
        self.norm = nn.LayerNorm(shape.width, eps=EPS_TOKENS)

    def summed(self, skips: Sequence[Tensor]) -> Tensor:
        """Skips (B, C_i, *grid_i) -> (B, N, D)."""
        parts = [down(skip) for down, skip in zip(self.down_convs, skips, strict=True)]
        return rearrange(torch.stack(parts).sum(dim=0), "b d ... -> b (...) d")

    def forward(self, tokens_BND: Tensor, summed_BND: Tensor) -> Tensor:
        return self.norm(tokens_BND + summed_BND)
