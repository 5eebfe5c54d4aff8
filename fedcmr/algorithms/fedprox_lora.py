"""FedProx on LoRA: FedAvg of one adapter, whose clients are held near what they were sent.

    min_θ F_k(θ) + (μ / 2) ‖θ − θ_t‖²,  then θ_{t+1} = Σ_k p_k θ_k,  θ the adapter's factors and the head

Sent: A, B and, by default, the head. Stays: nothing. At μ = 0 it is fedavg_lora.

Source: Li et al., Federated Optimization in Heterogeneous Networks, https://arxiv.org/abs/1812.06127.
    Our choices: on the factors apart, not on their product; a head that is private is held too, to its values at the
    visit's start.
"""

from dataclasses import dataclass

from fedcmr.branches import Branch
from fedcmr.strategy.penalties import Proximal
from fedcmr.strategy.phasing import OnePhase
from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS = {"exactness": "the factors are averaged apart, and mean(B) mean(A) is not mean(B A)"}


@dataclass(frozen=True)
class Knobs:
    """mu ≥ 0. rank: R ≥ 1. alpha > 0, s = alpha / rank. Ranks match Med-DualLoRA's sum; mu is our choice."""

    mu: float = 0.01
    rank: int = 16
    alpha: float = 16.0


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(Branch("global", knobs.rank, knobs.alpha),), phases=OnePhase(Proximal(knobs.mu)))
