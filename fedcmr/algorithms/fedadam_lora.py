"""FedAdam on LoRA: the server treats the clients' mean change as a gradient and steps with Adam.

    Δ = Σ_k p_k θ_k − θ_t,  m ← β₁ m + (1 − β₁) Δ,  u ← β₂ u + (1 − β₂) Δ²,  θ_{t+1} = θ_t + η m / (√u + τ)

Sent: A, B and, by default, the head. Stays: nothing; m and u stay at the server. As published there is no correction
of the bias of m and u.

Source: Reddi et al., Adaptive Federated Optimization, https://arxiv.org/abs/2003.00295. Our choices: the factors
    apart; η and τ, which want a search.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.combining import AdamStep
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {
    "exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)",
    "consensus": "the server steps towards what the clients agree on, and not as far",
    "alone": "the server steps towards its one client's tensors, and not as far",
}


@dataclass(frozen=True)
class Knobs:
    """lr: η > 0. tau: τ > 0. beta1, beta2 in [0, 1). rank: R ≥ 1. alpha > 0, s = alpha / rank."""

    lr: float = 0.01
    tau: float = 0.001
    beta1: float = 0.9
    beta2: float = 0.99
    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    step = AdamStep(knobs.lr, knobs.tau, knobs.beta1, knobs.beta2)
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), combine=step)
