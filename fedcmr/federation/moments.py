"""What becomes of AdamW's moments between visits: forgotten, kept by the client, or averaged with what they belong to.

AdamW keeps beside each θ a first moment m, a second moment v and its number of steps t. They stand among a client's
tensors as `aux.first.<name>`, `aux.second.<name>` and `aux.steps.<name>`.

    reset      every visit starts with m = v = 0, t = 0
    keep       a client goes on with its own m, v and t; they are private
    average    as keep, but for shared tensors, beside which travel m / (1 − β₁ᵗ) and v / (1 − β₂ᵗ), averaged like them;
               a visit goes on from the averages without a further correction of their start

No publication prescribes the last; without its correction averages of clients of different t would mean nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.finishing import split_by_role
from fedcmr.strategy.installing import overwrite
from fedcmr.strategy.strategy import Strategy
from fedcmr.tensors import TensorName, Tensors, auxiliary

RESET, KEEP, AVERAGE = "reset", "keep", "average"
POLICIES = (RESET, KEEP, AVERAGE)
FIRST, SECOND, STEPS = "first", "second", "steps"

SETTLED = 1e6
"""A number of steps after which AdamW corrects nothing: 1 − β^t is 1 to float32's last digit."""


def averaging(strategy: Strategy, method: str) -> Strategy:
    """The strategy whose shared tensors travel with their moments.

    Args:
        method: name of the algorithm.
    Raises: ValueError where the method's own way of installing, finishing or combining would not know them.
    """
    if (strategy.combine, strategy.finish, strategy.install) != (weighted_mean, split_by_role, overwrite):
        raise ValueError(
            f"visit.moments={AVERAGE}: {method} hands its tensors on in a way of its own, which does not know moments. "
            f"Choose {RESET} or {KEEP}."
        )
    return replace(strategy, aux=(*strategy.aux, FIRST, SECOND))


def of_optimizer(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The moments of these parameters by name, as they are; nothing where a parameter made no step."""
    found = {}
    for name, parameter in named.items():
        state = optimizer.state.get(parameter)
        if state:
            found[auxiliary(FIRST, name)] = state["exp_avg"].detach().cpu().clone()
            found[auxiliary(SECOND, name)] = state["exp_avg_sq"].detach().cpu().clone()
            found[auxiliary(STEPS, name)] = state["step"].detach().cpu().clone().reshape(1)
    return found


def into_optimizer(optimizer: torch.optim.Optimizer, named: Mapping[str, nn.Parameter], moments: Tensors) -> None:
    """Takes moments up again; without their steps they are taken for corrected ones. Zeros are no start."""
    for name, parameter in named.items():
        first, second = moments.get(auxiliary(FIRST, name)), moments.get(auxiliary(SECOND, name))
        if first is None or second is None or not bool(second.any()):
            continue
        steps = moments.get(auxiliary(STEPS, name), torch.tensor([SETTLED]))
        optimizer.state[parameter] = {
            "step": steps.reshape(()).clone(),
            "exp_avg": first.to(parameter, copy=True),
            "exp_avg_sq": second.to(parameter, copy=True),
        }


def divided(
    moments: Tensors, names: Collection[str], beta1: float, beta2: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(corrected moments, which travel, and those that stay as they are).

    Args:
        moments: of AdamW after a visit; where steps are not told they are corrected already.
        names: of all tensors that have a role, those moments among them that travel.
    """
    travelling, staying = {}, {}
    for name, tensor in moments.items():
        kind = TensorName.parse(name).aux
        owner = name.removeprefix(auxiliary(kind, ""))
        if auxiliary(FIRST, owner) not in names:
            staying[name] = tensor
        elif kind != STEPS:
            steps = moments.get(auxiliary(STEPS, owner), torch.tensor([SETTLED]))
            travelling[name] = tensor / (1 - (beta1 if kind == FIRST else beta2) ** float(steps))
    return travelling, staying


def is_moment(name: str) -> bool:
    """Whether a tensor of this name is AdamW's."""
    return TensorName.parse(name).aux in (FIRST, SECOND, STEPS)
