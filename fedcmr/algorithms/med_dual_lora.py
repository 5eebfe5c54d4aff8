"""Med-DualLoRA: a global adapter that is averaged, beside a local one that never leaves.

    h = W x + s_g B_g A_g x + s_l B_l A_l x

Both pairs train together at the client; the server averages A_g and B_g by number of cases. Sent: the global pair and,
by default, the head. Stays: the local pair.

Source: Perramon-Llussà et al., Med-DualLoRA: Local Adaptation of Foundation Models for 3D Cardiac MRI,
    https://arxiv.org/abs/2603.10967. From the abstract. Our choices, since it leaves them open: ranks and scales, the
    adapted layers, averaging of the factors apart, weights by cases, joint training, the head's owner.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.roles import local_branch_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "paper"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """rank_global, rank_local: R ≥ 1. alpha_global, alpha_local > 0, s = alpha / rank. All four are our choice."""

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
        role=local_branch_private,
    )
