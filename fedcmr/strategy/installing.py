"""How a client takes in what the server sent."""

from fedcmr.strategy.visiting import Visit
from fedcmr.tensors import Tensors


def overwrite(mine: Tensors, sent: Tensors, pristine: Tensors, visit: Visit) -> Tensors:
    """What was sent replaces what the client had under the same name; everything else stays.

    Raises: ValueError where the server sends a name that the client does not have.
    """
    unknown = sorted(sent.keys() - mine.keys())
    if unknown:
        raise ValueError(f"{visit.client} was sent {unknown[:3]}, which its model does not have.")
    return {**mine, **sent}
