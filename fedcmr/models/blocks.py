"""Transformer blocks on tokens: attention with separate query and fused key-value, and a perceptron, each after a norm.

Names of attributes are the foundation model's; `TARGETS` are the linear layers that can be adapted.
Source: Dosovitskiy et al. 2021, https://arxiv.org/abs/2010.11929, in the wiring of CineMA,
https://arxiv.org/abs/2506.00679.
"""

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-5
TARGETS = ("attn.q", "attn.kv", "attn.proj", "mlp.fc1", "mlp.fc2")


class Attention(nn.Module):
    """softmax(q kᵀ / √(D / heads)) v in each head, then a projection: (B, N, D) -> (B, N, D).

    `kv` gives first all of k, then all of v.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        return self.across(tokens_BND, tokens_BND)

    def across(self, asking_BND: Tensor, asked_BMD: Tensor) -> Tensor:
        """Queries from one set of tokens, keys and values from another: (B, N, D), (B, M, D) -> (B, N, D)."""
        queries = rearrange(self.q(asking_BND), "b n (h d) -> b h n d", h=self.heads)
        keys, values = rearrange(self.kv(asked_BMD), "b n (two h d) -> two b h n d", two=2, h=self.heads)
        mixed = functional.scaled_dot_product_attention(queries, keys, values)
        return self.proj(rearrange(mixed, "b h n d -> b n (h d)"))


class Mlp(nn.Module):
    """fc2(GELU(fc1 x)) on each token by itself: (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(tokens_BND)))


class Block(nn.Module):
    """x + attn(norm1 x), then x + mlp(norm2 x). Frozen parts never drop a path, so there is no drop-path."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, width * mlp_ratio)

    def forward(self, tokens_BND: Tensor) -> Tensor:
        tokens_BND = tokens_BND + self.attn(self.norm1(tokens_BND))
        return tokens_BND + self.mlp(self.norm2(tokens_BND))
