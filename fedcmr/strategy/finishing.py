"""What leaves a client after training, and what it keeps."""

import torch

from fedcmr.strategy.ranks import trimmed
from fedcmr.strategy.roles import Role
from fedcmr.strategy.visiting import Visit
from fedcmr.tensors import TensorName, Tensors, control_of


def split_by_role(received: Tensors, trained: Tensors, kept: Tensors, visit: Visit) -> tuple[Tensors, Tensors]:
    """Hands over the SHARED tensors as trained and keeps the PRIVATE ones."""
    shared = {name: tensor for name, tensor in trained.items() if visit.roles[name] is Role.SHARED}
    private = {name: tensor for name, tensor in trained.items() if visit.roles[name] is Role.PRIVATE}
    return shared, private


def split_within_rank(received: Tensors, trained: Tensors, kept: Tensors, visit: Visit) -> tuple[Tensors, Tensors]:
    """As `split_by_role`, and factors leave with the client's own rank."""
    shared, private = split_by_role(received, trained, kept, visit)
    return trimmed(shared, visit.rank), private


def share_and_keep_own(received: Tensors, trained: Tensors, kept: Tensors, visit: Visit) -> tuple[Tensors, Tensors]:
    """As `split_by_role`; of the factors that leave the client keeps its own, too."""
    shared, private = split_by_role(received, trained, kept, visit)
    return shared, {**private, **{name: shared[name] for name in shared if TensorName.parse(name).is_factor}}


def renew_controls(received: Tensors, trained: Tensors, kept: Tensors, visit: Visit) -> tuple[Tensors, Tensors]:
    """As `split_by_role`; beside each shared θ leaves the client's new control variate c_k, which it keeps, too.

    c_k ← c_k − c + (θ_received − θ_trained) / (K η), with K steps of rate η.
    Source: Karimireddy et al. 2020, https://arxiv.org/abs/1910.06378, their option II.
    """
    shared, private = split_by_role(received, trained, kept, visit)
    renewed = {}
    for name in shared:
        control = control_of(name)
        if control in received:
            moved = (received[name] - trained[name]) / (visit.steps * visit.lr)
            renewed[control] = kept.get(control, torch.zeros_like(moved)) - received[control] + moved
    return {**shared, **renewed}, {**private, **renewed}
