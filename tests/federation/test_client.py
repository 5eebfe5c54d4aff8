"""One client's visit: made volumes, a backbone of a few thousand weights, Med-DualLoRA unless said otherwise."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from made_clients import Method, method
from made_federation import CLIENTS, federation
from torch import Tensor
from torch.testing import assert_close

from fedcmr.federation.client import Federation, Handover, predict, visit, visit_seed
from fedcmr.federation.door import LeakError, let_in
from fedcmr.messages import Server
from fedcmr.models.threads import one_thread
from fedcmr.strategy.roles import Role
from fedcmr.strategy.strategy import Outputs, Phase
from fedcmr.tensors import TensorName, Tensors, digest, select

DUAL = method("med_dual_lora", "shared")
BITS = {"rtol": 0.0, "atol": 0.0}


def begin(federation: Federation) -> Server:
    roles = federation.strategy.roles(list(federation.start), 1)
    return Server(0, select(federation.start, [name for name, role in roles.items() if role is Role.SHARED]))


def with_answers(**answers: object) -> Method:
    return replace(DUAL, strategy=replace(DUAL.strategy, **answers))  # type: ignore[arg-type]


def visited(method: Method, client: str = "vendorA") -> tuple[Federation, Handover, Tensors]:
    """A first visit, and all tensors that the client trained."""
    made = federation(method)
    handover = visit(made, client, begin(made), {}, tuple(CLIENTS))
    update = let_in(handover.payload, client, 1, begin(made).sent)
    return made, handover, {**made.start, **update.tensors, **handover.kept}


def changed(made: Federation, trained: Tensors) -> set[str]:
    return {name for name in made.start if not torch.equal(made.start[name], trained[name])}


def test_a_visit_trains_and_hands_over_what_the_server_asked_for() -> None:
    made, handover, trained = visited(DUAL)
    update = let_in(handover.payload, "vendorA", 1, begin(made).sent)
    assert update.cases == CLIENTS["vendorA"]
    assert update.private_hash == digest(handover.kept)
    assert update.scores["n"] == 2
    assert changed(made, trained) == set(made.start)
    assert handover.loss > 0
    assert handover.seconds > 0


def test_a_visit_leaves_the_random_numbers_and_threads_of_others_alone() -> None:
    made = federation(DUAL)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    visit(made, "vendorA", begin(made), {}, ())
    assert torch.equal(torch.rand(3), expected)
    with one_thread():
        assert torch.get_num_threads() == 1


def test_the_seed_of_a_visit_is_a_function_of_seed_round_and_client() -> None:
    seeds = {visit_seed(seed, number, client) for seed in (0, 1) for number in (1, 2) for client in ("a", "b")}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert visit_seed(0, 1, "a") == visit_seed(0, 1, "a")


def test_what_a_client_kept_is_there_at_its_next_visit() -> None:
    made = federation(with_answers(phases=nothing_local))
    kept = {name: tensor + 1 for name, tensor in made.start.items() if TensorName.parse(name).branch == "local"}
    handover = visit(made, "vendorA", begin(made), kept, ())
    assert_close(handover.kept, kept, **BITS)


def global_branch(name: TensorName) -> bool:
    return name.branch == "global"


def not_local(name: TensorName) -> bool:
    return name.branch != "local"


def local_branch(name: TensorName) -> bool:
    return name.branch == "local"


def nothing_local(round: int) -> tuple[Phase, ...]:
    return (Phase(train=not_local),)


def global_alone(round: int) -> tuple[Phase, ...]:
    return (Phase(train=global_branch, silent=frozenset({"local"})),)


def global_then_local(round: int) -> tuple[Phase, ...]:
    return (Phase(train=global_branch, share=0.5), Phase(train=local_branch, share=0.5))


@pytest.mark.parametrize(("phases", "branches"), [(global_alone, {"global"}), (global_then_local, {"global", "local"})])
def test_a_phase_trains_what_it_says_and_nothing_else(
    phases: Callable[[int], tuple[Phase, ...]], branches: set[str]
) -> None:
    made, _, trained = visited(with_answers(phases=phases))
    names = {name for name in made.start if TensorName.parse(name).branch in branches}
    # half a visit is one step, and at its start B = 0 leaves A without a gradient
    assert changed(made, trained) <= names
    assert {name for name in names if name.endswith(".B")} <= changed(made, trained)


def test_a_frozen_tensor_never_trains() -> None:
    made, handover, _ = visited(with_answers(role=a_frozen))
    assert not any(name.endswith(".A") for name in handover.kept)
    assert {TensorName.parse(name).factor for name in begin(made).sent} == {"B", ""}


def a_frozen(name: TensorName, round: int) -> Role:
    return Role.FROZEN if name.factor == "A" else Role.SHARED


@dataclass(frozen=True)
class PullTo:
    """Pulls everything that trains towards what was received, very hard."""

    strength: float

    def __call__(self, live: Tensors, received: Tensors, kept: Tensors, outputs: Outputs) -> Tensor:
        return self.strength * torch.stack([(live[name] - received[name]).square().sum() for name in live]).sum()


@dataclass(frozen=True)
class Pulled:
    penalty: PullTo

    def __call__(self, round: int) -> tuple[Phase, ...]:
        return (Phase(penalty=self.penalty),)


def test_a_penalty_of_strength_zero_changes_nothing_and_a_strong_one_does() -> None:
    _, plain, _ = visited(DUAL)
    _, zero, _ = visited(with_answers(phases=Pulled(PullTo(0.0))))
    _, strong, _ = visited(with_answers(phases=Pulled(PullTo(1e4))))
    assert zero.payload == plain.payload
    assert strong.payload != plain.payload


def hands_over_all(received: Tensors, trained: Tensors, kept: Tensors, visit: object) -> tuple[Tensors, Tensors]:
    return trained, {}


def test_a_method_that_hands_over_too_much_is_stopped_before_anything_leaves() -> None:
    with pytest.raises(LeakError, match=r"vendorA: '.*branches\.local\..*' is PRIVATE"):
        visited(with_answers(finish=hands_over_all))


def test_the_global_view_does_not_hear_what_a_client_kept() -> None:
    made = federation(DUAL)
    server = Server(1, begin(made).sent)
    none, much = {}, {name: tensor + 1 for name, tensor in made.start.items() if ".local." in name}
    assert predict(made, "vendorA", server, much, "test", "personal") != _personal(made, server, none)
    assert predict(made, "vendorA", server, much, "test", "global") == predict(
        made, "vendorA", server, none, "test", "global"
    )


def _personal(made: Federation, server: Server, kept: Tensors) -> object:
    return predict(made, "vendorA", server, kept, "test", "personal")


def test_a_branch_that_is_silent_at_test_is_not_heard() -> None:
    made = federation(with_answers(at_test=frozenset({"local"})))
    server = Server(1, begin(made).sent)
    much = {name: tensor + 1 for name, tensor in made.start.items() if ".local." in name}
    assert _personal(made, server, much) == _personal(made, server, {})


def test_predictions_are_those_of_the_part_in_the_order_of_its_cases() -> None:
    made = federation(DUAL)
    server = Server(1, begin(made).sent)
    found = predict(made, "vendorC", server, {}, "train", "personal")
    assert [row.patient for row in found] == [case.id for case in made.clients["vendorC"].sets["train"].cases]
    assert all(sum(row.probabilities) == pytest.approx(1) for row in found)
    assert {row.part for row in found} == {"train"}


def test_a_patient_of_a_pooled_run_keeps_his_client() -> None:
    made = federation(method("pooled", "shared"))
    found = predict(made, "pooled", Server(1, begin(made).sent), {}, "test", "personal")
    assert {row.client for row in found} == set(CLIENTS)


def test_a_strategy_without_branches_trains_the_head_alone() -> None:
    made, handover, trained = visited(method("head_only", "shared"))
    assert {name.split(".")[0] for name in changed(made, trained)} == {"head"}
    assert not handover.kept
