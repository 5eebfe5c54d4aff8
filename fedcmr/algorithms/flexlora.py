"""FlexLoRA: the server averages products and sends each client the best approximation of its own rank.

    B A ≈ Σ_k p_k B_k A_k by its largest singular values,  B = U √S,  A = √S Vᵀ,  client k takes the first r_k

Sent up and down: A and B of the client's own rank and, by default, the head. Stays: nothing. Exact where the rank
that is sent is that of the mean of the products.

Source: Bai et al., Federated Fine-tuning of Large Language Models under Heterogeneous Tasks and Client Resources,
    https://arxiv.org/abs/2402.11505. Our choices: equal ranks by default; one scale for all clients; the singular
    values in equal parts.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.finishing import split_within_rank
from fedcmr.strategy.installing import within_rank
from fedcmr.strategy.products import truncated_products
from fedcmr.strategy.strategy import Strategy

FIDELITY = "paper"
EXCEPTIONS = {"exactness": "of the mean of the products, whose rank is up to K r, rank r is kept"}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1, the largest. alpha > 0, s = alpha / rank for all.

    ranks: of the clients in the order of their names, begun again where there are more of them; empty: all have `rank`.
    """

    rank: int = 16
    alpha: float = 16.0
    ranks: tuple[int, ...] = ()


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=(Branch("global", knobs.rank, knobs.alpha, knobs.ranks),),
        combine=truncated_products,
        install=within_rank,
        finish=split_within_rank,
    )
