"""APFL on LoRA: each client learns how much of its own adapter, and how much of the common one, it wants to hear.

    1. global alone:  W x + s B_g A_g x        2. local and α:  W x + α s B_l A_l x + (1 − α) s B_g A_g x,  α in [0, 1]

Sent: the global pair and, by default, the head. Stays: the local pair and α. A new client is scored by the global
pair.

Source: Deng et al., Adaptive Personalized Federated Learning, https://arxiv.org/abs/2003.13461. Our choices: the
    outputs are mixed, not the factors; one α for each adapted layer, trained by the visit's optimizer; the two
    trainings one after the other, half of a visit's steps each; the local pair begins as a copy of the global one;
    ranks.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.installing import LocalFromGlobal
from fedcmr.strategy.mixing import Between
from fedcmr.strategy.phasing import GlobalThenLocalInMix
from fedcmr.strategy.roles import local_branch_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """mixture: α at the start, in [0, 1]. local_share: of a visit's steps, in (0, 1).

    rank: R ≥ 1 of each pair. alpha > 0, s = alpha / R.
    """

    mixture: float = 0.5
    local_share: float = 0.5
    rank: int = 8
    alpha: float = 8.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=tuple(Branch(name, knobs.rank, knobs.alpha) for name in ("global", "local")),
        role=local_branch_private,
        phases=GlobalThenLocalInMix(knobs.local_share),
        mix=Between(knobs.mixture),
        install=LocalFromGlobal(every=0),
    )
