"""Servers that remember what each client last handed over, so that clients that are away still count."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedcmr.messages import Server, Update
from fedcmr.strategy.combining import weighted_mean
from fedcmr.tensors import TensorName, Tensors, auxiliary

MEMBERS = "members"
"""Kind of the auxiliary tensor that tells of how many clients a mean is."""


def mean_beside_mean_controls(
    updates: Sequence[Update], weights: Sequence[float], server: Server
) -> tuple[Tensors, Tensors]:
    """θ = Σ_k p_k θ_k over who took part, and c = mean of c_k over every client that ever did.

    Source: Karimireddy et al. 2020, https://arxiv.org/abs/1910.06378, where clients that never took part count as zero.
    """
    averaged, _ = weighted_mean(updates, weights, server)
    controls = [name for name in averaged if TensorName.parse(name).aux]
    memory = _remembered(updates, server, controls)
    return {**averaged, **{name: _mean_of(memory, name)[0] for name in controls}}, memory


def mean_of_all_known(updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
    """Of each factor the plain mean over every client that ever took part, and how many these are; else the weighted
    mean over who took part.
    """
    averaged, _ = weighted_mean(updates, weights, server)
    factors = sorted(name for name in averaged if TensorName.parse(name).is_factor)
    memory = _remembered(updates, server, factors)
    sent = dict(averaged)
    for name in factors:
        sent[name], members = _mean_of(memory, name)
    if factors:
        told = TensorName(TensorName.parse(factors[0]).layer, "gate", branch="rest", aux=MEMBERS)
        sent[str(told)] = torch.tensor(float(members))
    return sent, memory


def _remembered(updates: Sequence[Update], server: Server, names: Sequence[str]) -> dict[str, Tensor]:
    """ "aux.<client>.<name>" -> what that client last handed over under the name."""
    news = {auxiliary(update.client, name): update.tensors[name] for update in updates for name in names}
    return {**server.memory, **news}


def _mean_of(memory: Tensors, name: str) -> tuple[Tensor, int]:
    """(mean, number) of what clients handed over under a name, summed in float64 in the order of their names."""
    own = [memory[key] for key in sorted(memory) if key.partition(".")[2].partition(".")[2] == name]
    total = torch.stack([tensor.double() for tensor in own]).sum(0)
    return (total / len(own)).to(own[0].dtype), len(own)
