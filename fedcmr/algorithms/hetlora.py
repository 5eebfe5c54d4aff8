"""HetLoRA: clients of different ranks; factors are padded with zeros, and who has learned more speaks louder.

    A = Σ_k p_k [A_k; 0],  B = Σ_k p_k [B_k, 0],  p_k = ‖B_k A_k‖ / Σ ‖B A‖,  client k takes the first r_k rows

Sent up and down: A and B of the client's own rank and, by default, the head. Stays: nothing.

Source: Cho et al., Heterogeneous LoRA for Federated Fine-tuning of On-Device Foundation Models,
    https://arxiv.org/abs/2401.06432. Our choices: equal ranks by default; ranks stay as they are, where the paper's
    clients also prune their own; one scale for all clients; the norm over all layers together.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.finishing import split_within_rank
from fedcmr.strategy.installing import within_rank
from fedcmr.strategy.products import padded_mean
from fedcmr.strategy.strategy import Strategy
from fedcmr.strategy.weighing import by_size_of_product

FIDELITY = "adapted"
EXCEPTIONS = {
    "scale": "clients count by what they have learned, whoever their patients",
    "exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)",
}


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
        weigh=by_size_of_product,
        combine=padded_mean,
        install=within_rank,
        finish=split_within_rank,
    )
