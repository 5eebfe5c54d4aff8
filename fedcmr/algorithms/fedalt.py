"""FedALT: each client trains its own adapter, which nobody overwrites, beside the frozen mean of all the others'.

    W x + α(x) s B_l A_l x + (1 − α(x)) s B_r A_r x,  (α, 1 − α) = softmax(G x),  θ_r = (K S̄ − θ_l) / (K − 1)

Sent up: the own pair and, by default, the head. Sent down: S̄, the plain mean of all K clients' own pairs, from which
each forms the others' mean. Stays: G; the own pair is handed over, so it is no secret. A new client hears S̄ as the
rest.

Source: Bian et al., FedALT: Federated Fine-Tuning through Adaptive Local Training with Rest-of-World LoRA,
    https://arxiv.org/abs/2503.11880, and its code. Our choices: S̄ is over all clients that ever took part, by their
    last word; the head is shared by default; ranks.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.finishing import share_and_keep_own
from fedcmr.strategy.installing import others_beside_own
from fedcmr.strategy.mixing import OverTokens
from fedcmr.strategy.remembering import mean_of_all_known
from fedcmr.strategy.roles import all_but_gates_shared
from fedcmr.strategy.strategy import Strategy
from fedcmr.strategy.weighing import equally

FIDELITY = "code"
EXCEPTIONS = {
    "scale": "clients count equally, whoever their patients",
    "consensus": "each client hears its own adapter and the others', so what is common counts twice",
    "exactness": "each client's own adapter stays as it is",
    "return": "each client hears its own adapter and the mean of the others'",
}


@dataclass(frozen=True)
class Knobs:
    """rank: R ≥ 1 of each pair. alpha > 0, s = alpha / rank. The defaults are our choice."""

    rank: int = 8
    alpha: float = 8.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(
        branches=tuple(Branch(name, knobs.rank, knobs.alpha) for name in ("local", "rest")),
        role=all_but_gates_shared,
        mix=OverTokens(("local", "rest")),
        weigh=equally,
        combine=mean_of_all_known,
        install=others_beside_own,
        finish=share_and_keep_own,
    )
