"""SDFLoRA: a global and a local adapter, learned gains for the two, and a server that works on products.

    W x + σ(w_g) s B_g A_g x + σ(w_l) s B_l A_l x,  B_g A_g ≈ Σ_k p_k B_k A_k of the fixed rank

Sent: the global pair. Stays: the local pair, the two gains of each layer, and the head. The nearest published twin of
Med-DualLoRA.

Source: SDFLoRA, https://arxiv.org/abs/2601.11219, and its code (global rank 8, local rank 4, alpha 16; w_g = 0.7,
    w_l = 0.3 at the start). Our choices: all clients are stacked; no noise is added; equal ranks, matched to
    Med-DualLoRA; alpha = rank.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.mixing import Scalars
from fedcmr.strategy.products import truncated_products
from fedcmr.strategy.roles import local_branch_and_gates_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "code"
EXCEPTIONS = {"exactness": "of the mean of the products, whose rank is up to K r, rank r is kept"}
HEAD = "private"


@dataclass(frozen=True)
class Knobs:
    """gain_global, gain_local: w_g and w_l at the start. rank_…: R ≥ 1. alpha_… > 0, s = alpha / rank."""

    gain_global: float = 0.7
    gain_local: float = 0.3
    rank_global: int = 8
    rank_local: int = 8
    alpha_global: float = 8.0
    alpha_local: float = 8.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=(
            Branch("global", knobs.rank_global, knobs.alpha_global),
            Branch("local", knobs.rank_local, knobs.alpha_local),
        ),
        role=local_branch_and_gates_private,
        mix=Scalars((("global", knobs.gain_global), ("local", knobs.gain_local)), squashed=True),
        combine=truncated_products,
    )
