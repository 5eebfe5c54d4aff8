"""FedAvg of the adapted blocks themselves: no adapter, every weight of these blocks trains and is averaged.

    θ_{t+1} = Σ_k p_k θ_k,  p_k = n_k / Σ n

Sent: all weights of the blocks that `adapter.blocks` names and, by default, the head. Stays: nothing. What LoRA saves
is measured against this.

Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data,
    https://arxiv.org/abs/1602.05629. Our choice: the last blocks alone, by default the two that others adapt.
"""

from dataclasses import dataclass

from fedcmr.strategy.strategy import Strategy

FIDELITY = "adapted"
EXCEPTIONS: dict[str, str] = {}
BLOCK = ("norm1", "attn.q", "attn.kv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True)
class Knobs:
    """None."""


def build(knobs: Knobs) -> Strategy:
    return Strategy(branches=(), opened=BLOCK)
