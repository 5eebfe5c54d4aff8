"""FedAvg on LoRA, then local steps: at each visit a client also tunes a copy of what it received, and keeps that.

    global: A, B as in fedavg_lora        local: A, B received, then steps on the client's own patients

Each trains while the other is silent; the local copy alone is heard at test time, and it is made anew at each visit.
Sent: the global pair and, by default, the head. Stays: the copy. A new client is scored by the global pair.

Source: the usual baseline of personalised federated learning, for example Collins et al. 2022,
    https://arxiv.org/abs/2205.13692. Our choices: in every round, from what was received; half of a visit's steps
    each; the head trains with the global pair; rank and scale.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.installing import LocalFromGlobal
from fedcmr.strategy.phasing import GlobalThenLocal
from fedcmr.strategy.roles import local_branch_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """local_share: of a visit's steps, in (0, 1). rank: R ≥ 1 of each pair. alpha > 0, s = alpha / rank."""

    local_share: float = 0.5
    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=tuple(Branch(name, knobs.rank, knobs.alpha) for name in ("global", "local")),
        role=local_branch_private,
        phases=GlobalThenLocal(knobs.local_share),
        install=LocalFromGlobal(every=1),
        at_test=frozenset({"global"}),
    )
