"""A federated algorithm is a value: nine answers, FedAvg of one LoRA branch by default.

Nobody subclasses `Strategy`; a method writes down only where it differs. Answers without knobs are module-level
functions, answers with knobs frozen dataclasses with `__call__`, so that a Strategy pickles, compares and prints.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass

from torch import Tensor

from fedcmr.messages import Round, Server, Update
from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.finishing import split_by_role
from fedcmr.strategy.installing import overwrite
from fedcmr.strategy.mixing import ones
from fedcmr.strategy.roles import Role, RoleOf, everything_shared
from fedcmr.strategy.visiting import Visit
from fedcmr.strategy.weighing import by_cases
from fedcmr.tensors import Branch, TensorName, Tensors

Outputs = Mapping[tuple[str, str], Tensor]
"""(layer, branch) -> that branch's output (B, N, D_out), collected only for a penalty that asks for them."""

Penalty = Callable[[Tensors, Tensors, Tensors, Outputs], Tensor]
"""(live, received, kept, outputs) -> scalar (), differentiable in `live`."""

Mix = Callable[[Sequence[str]], Mapping[str, float]]
Weigh = Callable[[Sequence[Update], Sequence[Round]], Sequence[float]]
Combine = Callable[[Sequence[Update], Sequence[float], Server], tuple[Tensors, Tensors]]
Install = Callable[[Tensors, Tensors, Tensors, Visit], Tensors]
Finish = Callable[[Tensors, Tensors, Tensors, Visit], tuple[Tensors, Tensors]]


def everything(name: TensorName) -> bool:
    """Trains every tensor that is not frozen."""
    return True


@dataclass(frozen=True)
class Phase:
    """One part of a visit.

    Args:
        train: name -> whether the tensor trains in this phase (a FROZEN one never does).
        silent: branches that are not heard in this phase.
        penalty: added to the task's loss, or None.
        share: of the visit's steps, in (0, 1].
    """

    train: Callable[[TensorName], bool] = everything
    silent: frozenset[str] = frozenset()
    penalty: Penalty | None = None
    share: float = 1.0


def one_phase(round: int) -> tuple[Phase, ...]:
    """All that may train, trains together for the whole visit."""
    return (Phase(),)


@dataclass(frozen=True)
class Strategy:
    """The nine answers, and two settings.

    Args:
        branches: which branches stand beside each adapted layer?
        role: (name, round) -> who owns this tensor?
        phases: round -> what trains, in which order, with what added to the loss?
        mix: names of the branches -> how loud each one is in the sum.
        weigh: (updates, past rounds) -> (K,) how loud is each client?
        combine: (updates, weights, server) -> (to send, to remember): how do K become one?
        install: (mine, sent, pristine, visit) -> mine: how does a client take in what was sent?
        finish: (received, trained, kept, visit) -> (to hand over, to keep): what leaves after training?
        at_test: branches that are not heard at test time.
        pool: all clients train as one, while each patient keeps his client for scoring.
        optimizer: "adamw" or "sgd" where a method fixes it; "" leaves it to the visit's knobs.
    """

    branches: tuple[Branch, ...] = (Branch("global", rank=8, alpha=8.0),)
    role: RoleOf = everything_shared
    phases: Callable[[int], tuple[Phase, ...]] = one_phase
    mix: Mix = ones
    weigh: Weigh = by_cases
    combine: Combine = weighted_mean
    install: Install = overwrite
    finish: Finish = split_by_role
    at_test: frozenset[str] = field(default_factory=frozenset)
    pool: bool = False
    optimizer: str = ""

    def __str__(self) -> str:
        """Only the answers that differ from FedAvg-LoRA, never an address."""
        standard = Strategy()
        differing = [
            f"{answer.name}={_spoken(getattr(self, answer.name))}"
            for answer in fields(self)
            if getattr(self, answer.name) != getattr(standard, answer.name)
        ]
        return f"Strategy({', '.join(differing)})"

    def roles(self, names: Sequence[str], round: int) -> dict[str, Role]:
        """Role of each of these tensors in this round."""
        return {name: self.role(TensorName.parse(name), round) for name in names}

    def first_sent(self, start: Tensors) -> dict[str, Tensor]:
        """What is sent before the first round: all that is shared in it or in the next, for tensors may take turns."""
        both = (self.roles(list(start), round) for round in (1, 2))
        shared = {name for roles in both for name, role in roles.items() if role is Role.SHARED}
        return {name: tensor for name, tensor in start.items() if name in shared}


def _spoken(answer: object) -> str:
    if hasattr(answer, "__name__"):
        return str(answer.__name__)
    if isinstance(answer, tuple):
        return f"({', '.join(_spoken(member) for member in answer)})"
    if is_dataclass(answer):
        knobs = [f"{knob.name}={_spoken(getattr(answer, knob.name))}" for knob in fields(answer)]
        return f"{type(answer).__name__}({', '.join(knobs)})"
    if isinstance(answer, frozenset):
        return f"{{{', '.join(sorted(_spoken(member) for member in answer))}}}"
    return repr(answer)
