"""Ditto on LoRA: FedAvg of a global adapter, and at each client one of its own that is held near it.

    global: θ_{t+1} = Σ_k p_k θ_k        local: min_v F_k(v) + (λ / 2) ‖v − θ_t‖²

The two never speak together: each trains while the other is silent, and the local one alone is heard at test time. It
begins as a copy of the global one that the client first received. Sent: the global pair and, by default, the head.
Stays: the local pair. A new client is scored by a copy of the global pair.

Source: Li et al., Ditto: Fair and Robust Federated Learning Through Personalization, https://arxiv.org/abs/2012.04221.
    Our choices: on the factors apart; the head trains with the global pair; half of a visit's steps each; λ.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.installing import LocalFromGlobal
from fedcmr.strategy.penalties import NearGlobal
from fedcmr.strategy.phasing import GlobalThenLocal
from fedcmr.strategy.roles import local_branch_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """weight: λ ≥ 0. local_share: of a visit's steps, in (0, 1). rank: R ≥ 1 of each pair. alpha > 0, s = alpha / R."""

    weight: float = 0.1
    local_share: float = 0.5
    rank: int = 8
    alpha: float = 8.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=tuple(Branch(name, knobs.rank, knobs.alpha) for name in ("global", "local")),
        role=local_branch_private,
        phases=GlobalThenLocal(knobs.local_share, NearGlobal(knobs.weight)),
        install=LocalFromGlobal(every=0),
        at_test=frozenset({"global"}),
    )
