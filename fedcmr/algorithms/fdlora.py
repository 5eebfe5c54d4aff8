"""FDLoRA: a common and a personal adapter that train apart, an outer step at the server, and a learned sum of the two.

    server: Δ = Σ_k p_k θ_k − θ_t,  m ← μ m + Δ,  θ_{t+1} = θ_t + η (Δ + μ m)
    client: W x + g_g s B_g A_g x + g_l s B_l A_l x, with g_g and g_l learned last

Sent: the global pair and, by default, the head. Stays: the local pair, which is set to the global one every H rounds,
and the two gains. A new client is scored by the global pair.

Source: Qi et al., FDLoRA: Personalized Federated Learning of Large Language Model via Dual LoRA Tuning,
    https://arxiv.org/abs/2406.07925. Our choices: the outer step of DiLoCo; the gains are learned in each visit and
    for each layer, where the paper searches two numbers at the end; nothing comes before the first round; shares,
    ranks.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.combining import OuterStep
from fedcmr.strategy.installing import LocalFromGlobal
from fedcmr.strategy.mixing import Scalars
from fedcmr.strategy.phasing import EachThenGates
from fedcmr.strategy.roles import local_branch_and_gates_private
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {
    "exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)",
    "consensus": "the server steps towards what the clients agree on, and with momentum beyond it",
    "alone": "the server steps towards its one client's tensors, and with momentum beyond them",
}


@dataclass(frozen=True)
class Knobs:
    """lr: η > 0. momentum: μ in [0, 1). sync_every: H ≥ 0, 0 for never.

    local_share, gate_share: of a visit's steps, together below 1. rank: R ≥ 1 of each pair. alpha > 0, s = alpha / R.
    """

    lr: float = 0.7
    momentum: float = 0.5
    sync_every: int = 5
    local_share: float = 0.4
    gate_share: float = 0.2
    rank: int = 8
    alpha: float = 8.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=tuple(Branch(name, knobs.rank, knobs.alpha) for name in ("global", "local")),
        role=local_branch_and_gates_private,
        phases=EachThenGates(knobs.local_share, knobs.gate_share),
        mix=Scalars((("global", 0.5), ("local", 0.5))),
        combine=OuterStep(knobs.lr, knobs.momentum),
        install=LocalFromGlobal(every=knobs.sync_every),
    )
