"""How a client takes in what the server sent."""

from dataclasses import dataclass, replace

import torch

from fedcmr.strategy.visiting import Visit
from fedcmr.tensors import TensorName, Tensors


def overwrite(mine: Tensors, sent: Tensors, pristine: Tensors, visit: Visit) -> Tensors:
    """What was sent replaces what the client had under the same name; everything else stays.

    Raises: ValueError where the server sends a name that the client does not have.
    """
    unknown = sorted(sent.keys() - mine.keys())
    if unknown:
        raise ValueError(f"{visit.client} was sent {unknown[:3]}, which its model does not have.")
    return {**mine, **sent}


@dataclass(frozen=True)
class LocalFromGlobal:
    """As `overwrite`; then the branch "local" becomes a copy of the branch "global" that was sent.

    Args:
        each_visit: before every training; else before a client's first one alone. Who is scored and has never trained
            gets the copy too, so that a new client hears the global branch whichever is silent at test time.
    """

    each_visit: bool

    def __call__(self, mine: Tensors, sent: Tensors, pristine: Tensors, visit: Visit) -> Tensors:
        model = dict(overwrite(mine, sent, pristine, visit))
        copies = {name: twin for name in model if (twin := global_twin(name)) in model}
        is_new = all(torch.equal(model[name], pristine[name]) for name in copies)
        if is_new or (self.each_visit and visit.trains):
            model |= {name: model[twin] for name, twin in copies.items()}
        return model


def global_twin(text: str) -> str:
    """The global branch's tensor that corresponds to one of the local branch; "" for any other."""
    name = TensorName.parse(text)
    return str(replace(name, branch="global")) if name.branch == "local" else ""
