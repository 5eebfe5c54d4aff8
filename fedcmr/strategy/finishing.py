"""What leaves a client after training, and what it keeps."""

from fedcmr.strategy.roles import Role
from fedcmr.strategy.visiting import Visit
from fedcmr.tensors import Tensors


def split_by_role(received: Tensors, trained: Tensors, kept: Tensors, visit: Visit) -> tuple[Tensors, Tensors]:
    """Hands over the SHARED tensors as trained and keeps the PRIVATE ones."""
    shared = {name: tensor for name, tensor in trained.items() if visit.roles[name] is Role.SHARED}
    private = {name: tensor for name, tensor in trained.items() if visit.roles[name] is Role.PRIVATE}
    return shared, private
