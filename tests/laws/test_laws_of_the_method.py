"""Laws 7, 8 and 11 on made clients, and what a method's file has to declare."""

import pickle
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from made_clients import (
    CASES,
    EXEMPTIBLE,
    Made,
    Method,
    Train,
    initial,
    install,
    module,
    over_all_methods,
    product,
    record,
)
from torch import Tensor
from torch.testing import assert_close

from fedcmr import catalogue
from fedcmr.federation.door import LeakError, hand_over
from fedcmr.messages import Update
from fedcmr.strategy.roles import HeadOwner, Role
from fedcmr.strategy.strategy import Strategy
from fedcmr.tensors import TensorName, Tensors

ALGORITHMS = catalogue.names("algorithms")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_method_declares_its_fidelity_and_its_exceptions(name: str) -> None:
    assert module(name).FIDELITY in ("code", "paper", "adapted")
    assert set(module(name).EXCEPTIONS) <= set(EXEMPTIBLE)
    assert all(reason for reason in module(name).EXCEPTIONS.values())
    assert getattr(module(name), "HEAD", "shared") in ("shared", "private", "both")


@over_all_methods
def test_no_private_or_frozen_tensor_is_in_the_bytes_that_leave(method: Method) -> None:
    """Law 7. Needs: nothing. Looked for are names and raw values, in the very bytes that travel."""
    made = Made(method)
    server = initial(method)
    for _ in range(2):
        visits = made.visits(server)
        for visited in visits:
            roles = method.strategy.roles(list(visited.trained), server.round + 1)
            hidden = [name for name, role in roles.items() if role is not Role.SHARED]
            for name in hidden:
                assert name.encode() not in visited.payload
                assert visited.trained[name].numpy().tobytes() not in visited.payload
            assert set(visited.update.tensors) == roles.keys() - hidden
        server = made.round(server)


@over_all_methods
def test_a_private_or_frozen_tensor_is_stopped_at_the_door(method: Method) -> None:
    """Law 7, for a method whose `finish` would hand over too much."""
    roles = record(method, next(iter(method.cases)), 1).roles
    for name in [name for name, role in roles.items() if role is not Role.SHARED]:
        with pytest.raises(LeakError, match=name):
            hand_over(Update("vendorA", 1, {name: torch.zeros(1)}, 1), roles)


@over_all_methods
def test_a_method_pickled_and_back_is_the_same_and_prints_no_address(method: Method) -> None:
    """Law 11."""
    strategy = method.strategy
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    assert str(pickle.loads(pickle.dumps(strategy))) == str(strategy)
    assert " at 0x" not in str(strategy)
    assert str(strategy).startswith("Strategy(")


@over_all_methods
def test_the_same_rounds_again_have_the_same_bits(method: Method) -> None:
    """Law 11."""
    one, two = Made(method), Made(method)
    server_one, server_two = initial(method), initial(method)
    for _ in range(2):
        server_one, server_two = one.round(server_one), two.round(server_two)
    assert_close(server_one.sent, server_two.sent, rtol=0, atol=0)
    assert one.kept.keys() == two.kept.keys()
    for client in one.kept:
        assert_close(one.kept[client], two.kept[client], rtol=0, atol=0)


def by_descent(method: Method) -> Train:
    """Trains by gradient descent on ½‖Σ_b s_b B_b A_b x − 1‖² + ½‖head‖², with x = linspace(−1, 1)."""
    scales = {branch.name: branch.scale for branch in method.strategy.branches}
    x_D = torch.linspace(-1, 1, 24)

    def loss(live: Tensors) -> Tensor:
        heads = [tensor for name, tensor in live.items() if TensorName.parse(name).is_head]
        outputs: dict[str, Tensor] = {}
        for text in live:
            name = TensorName.parse(text)
            if name.factor == "A":
                output = scales[name.branch] * live[f"{text[:-1]}B"] @ (live[text] @ x_D)
                outputs[name.layer] = outputs[name.layer] + output if name.layer in outputs else output
        errors = [output - 1 for output in outputs.values()]
        return sum((0.5 * error.square().sum() for error in (*heads, *errors)), torch.zeros(()))

    def train(received: Tensors, trainable: frozenset[str], round: int, client: str) -> Tensors:
        live = {name: tensor.clone().requires_grad_(name in trainable) for name, tensor in received.items()}
        wanted = [tensor for tensor in live.values() if tensor.requires_grad]
        for _ in range(3):
            gradients = torch.autograd.grad(loss(live), wanted)
            with torch.no_grad():
                for tensor, gradient in zip(wanted, gradients, strict=True):
                    tensor -= 0.02 * gradient
        return {name: tensor.detach() for name, tensor in live.items()}

    return train


def model_after_two_rounds(method: Method, client: str) -> Tensors:
    """What the client's model holds, shared and private, before the third round."""
    made = Made(method, by_descent(method))
    server = made.round(made.round(initial(method)))
    return install(method, client, server, made.kept[client])


def with_strategy(strategy: Strategy, owner: str, clients: Sequence[str]) -> Method:
    owned = replace(strategy, role=HeadOwner(owner, strategy.role))
    return Method("made", owner, owned, {}, {client: CASES[client] for client in clients})


def built(name: str) -> Strategy:
    entry = catalogue.entry("algorithms", name)
    return entry.build(entry.knobs())


def test_pooled_is_fedavg_of_one_client_that_has_everybody() -> None:
    """Law 8."""
    assert replace(built("pooled"), pool=False) == built("fedavg_lora")


def test_head_only_is_fedavg_without_branches() -> None:
    """Law 8."""
    assert built("head_only") == replace(built("fedavg_lora"), branches=())


def test_local_only_with_one_client_is_fedavg_with_one_client() -> None:
    """Law 8. The word of the branch aside, since starting values are a function of the name."""
    local, fedavg = built("local_only"), built("fedavg_lora")
    one = with_strategy(local, "private", ["vendorA"])
    two = with_strategy(replace(fedavg, branches=local.branches), "shared", ["vendorA"])
    assert_close(model_after_two_rounds(one, "vendorA"), model_after_two_rounds(two, "vendorA"), rtol=0, atol=0)


def local_frozen(name: TensorName, round: int) -> Role:
    return Role.FROZEN if name.branch == "local" else Role.SHARED


def test_med_dual_lora_whose_local_branch_never_trains_is_fedavg_of_its_global_branch() -> None:
    """Law 8. While B = 0 the local branch adds nothing, and takes nothing from the gradient of the other."""
    dual = built("med_dual_lora")
    one = with_strategy(replace(dual, role=local_frozen), "shared", list(CASES))
    two = with_strategy(replace(built("fedavg_lora"), branches=dual.branches[:1]), "shared", list(CASES))
    met, expected = model_after_two_rounds(one, "vendorB"), model_after_two_rounds(two, "vendorB")
    assert_close({name: met[name] for name in expected}, dict(expected), rtol=0, atol=0)
    assert_close(product(one, met, ["global", "local"]), product(two, expected, ["global"]), rtol=0, atol=0)


def test_med_dual_lora_trains_both_branches_to_something_else_than_fedavg() -> None:
    # the laws above would hold of a method that never trains
    dual = model_after_two_rounds(with_strategy(built("med_dual_lora"), "shared", list(CASES)), "vendorB")
    assert all(tensor.abs().max() > 0 for name, tensor in dual.items() if name.endswith(".B"))
