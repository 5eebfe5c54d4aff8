"""Laws 5, 6, 7, 11 and 13 on a real model: tiny visits, two rounds, the engine of one process."""

from dataclasses import dataclass, replace

import pytest
import torch
from made_clients import METHODS, Method, method, over_all_methods
from made_federation import SHAPE, adapted, backbone, engine, federation
from torch import Tensor, nn
from torch.testing import assert_close

from fedcmr.algorithms import fedprox_lora
from fedcmr.branches import Branch
from fedcmr.engines.in_process import InProcess
from fedcmr.federation.client import Handover
from fedcmr.federation.rounds import Closed, Visited, rounds
from fedcmr.models.lowrank import AdaptedLinear
from fedcmr.strategy.installing import LocalFromGlobal, fresh_factors
from fedcmr.strategy.roles import Role
from fedcmr.tensors import TensorName, Tensors

BITS = {"rtol": 0.0, "atol": 0.0}


@dataclass(frozen=True)
class Course:
    """Two rounds of a method: the engine that ran them, each visit in order, and the end of each round."""

    method: Method
    engine: InProcess
    visits: list[Handover]
    closed: list[Closed]

    @property
    def payloads(self) -> dict[tuple[str, int], bytes]:
        """(client, number of its visit) -> the bytes that left it."""
        clients = len(self.engine.clients)
        return {(visited.client, index // clients): visited.payload for index, visited in enumerate(self.visits)}


def two_rounds(method: Method, seed: int = 0, backwards: bool = False) -> Course:
    made = engine(federation(method, seed))
    made.clients = made.clients[::-1] if backwards else made.clients
    events = list(rounds(method.strategy, made, 2, made.initial(), [], fold=0))
    visits = [event.handover for event in events if isinstance(event, Visited)]
    return Course(method, made, visits, [event for event in events if isinstance(event, Closed)])


@pytest.fixture(scope="module", params=METHODS, ids=str)
def course(request: pytest.FixtureRequest) -> Course:
    """Two rounds of each method, run once."""
    return two_rounds(request.param)


@over_all_methods
def test_before_training_the_adapted_model_is_the_frozen_one_bit_by_bit(method: Method) -> None:
    """Law 5."""
    image = {"sax": torch.rand(2, 2, *SHAPE.sax, generator=torch.Generator().manual_seed(0))}
    model = adapted(method)
    model.load(model.start(0))
    with torch.no_grad():
        assert_close(model.backbone(image), backbone()(image), **BITS)


def test_no_pristine_tensor_changes(course: Course) -> None:
    """Law 6."""
    after = course.engine.federation.model.backbone
    assert_close({**after.foundation(), **after.originals}, backbone().foundation(), **BITS)
    assert bool(after.originals) == bool(course.method.strategy.opened)


def test_what_is_frozen_keeps_its_starting_value_and_the_rest_trains(
    course: Course,
) -> None:
    """Law 6."""
    start = course.engine.federation.start
    for kept in course.engine.kept.values():
        held: Tensors = {**start, **kept, **course.closed[-1].server.sent}
        first, second = (course.method.strategy.roles(list(start), round) for round in (1, 2))
        starts_anew = course.method.strategy.install is fresh_factors
        for name in start:
            if starts_anew and TensorName.parse(name).is_factor:
                continue  # trained, folded into the weight, and forgotten
            is_as_it_was = torch.equal(held[name], start[name])
            always = first[name] is second[name] is Role.FROZEN
            assert is_as_it_was == always, f"{name} is {first[name].name}, {second[name].name} in {course.method}"


def test_no_private_or_frozen_tensor_leaves_a_visit(
    course: Course,
) -> None:
    """Law 7. Names and raw bytes are looked for in what really travels."""
    copies_the_global = isinstance(course.method.strategy.install, LocalFromGlobal)
    for visited, (_, index) in zip(course.visits, course.payloads, strict=True):
        roles = course.method.strategy.roles(list(course.engine.federation.start), index + 1)
        private = {name for name, role in roles.items() if role is Role.PRIVATE}
        handed_over_too = visited.kept.keys() - private
        assert private <= visited.kept.keys()
        assert all(roles[name] is Role.SHARED for name in handed_over_too)
        for name in roles:
            assert (name.encode() in visited.payload) == (roles[name] is Role.SHARED)
        for name in private:
            tensor = visited.kept[name]
            # two heads' logits are added, so from equal starting values their biases train to equal bits; and a copy of
            # the global A has no gradient of its own before B is another than 0, which is in the second visit
            is_equal_still = TensorName.parse(name).owner and tensor.ndim == 1
            is_copy_still = index == 0 and TensorName.parse(name).factor == "A" and copies_the_global
            if not is_equal_still and not is_copy_still:
                assert tensor.numpy().tobytes() not in visited.payload
    assert not private & course.closed[-1].server.sent.keys()


def test_a_round_is_written_down_with_what_went_over_the_line(
    course: Course,
) -> None:
    for number, event in enumerate(course.closed):
        clients = course.engine.clients
        assert event.round.bytes_up == {client: len(course.payloads[client, number]) for client in clients}
        assert event.round.refused == ()
        assert set(event.round.bytes_down) == set(event.round.weights) == set(clients)


def test_the_same_seed_gives_the_same_bits_in_any_order_of_visits(course: Course) -> None:
    """Law 11: a visit is a function of (seed, round, client)."""
    again = two_rounds(course.method, backwards=True)
    assert again.payloads == course.payloads
    assert [event.round for event in again.closed] == [event.round for event in course.closed]
    assert_close(again.closed[-1].server.sent, course.closed[-1].server.sent, **BITS)


def test_another_seed_gives_other_bits(course: Course) -> None:
    """Law 11."""
    assert two_rounds(course.method, seed=1).payloads != course.payloads


def test_fedprox_with_mu_0_is_fedavg() -> None:
    """Law 8, bit by bit, and not so with another μ."""

    def payloads(mu: float) -> list[bytes]:
        prox = method("fedprox_lora", "shared")
        phases = fedprox_lora.build(fedprox_lora.Knobs(mu=mu)).phases
        return list(two_rounds(replace(prox, strategy=replace(prox.strategy, phases=phases))).payloads.values())

    fedavg = list(two_rounds(method("fedavg_lora", "shared")).payloads.values())
    assert payloads(0.0) == fedavg
    assert payloads(10.0) != fedavg


@pytest.mark.parametrize(("ranks", "alphas"), [((1, 1), (1.0, 1.0)), ((3, 2), (6.0, 1.0)), ((2, 5), (0.5, 8.0))])
def test_two_branches_are_one_branch_of_the_sum_of_their_ranks(
    ranks: tuple[int, int], alphas: tuple[float, float]
) -> None:
    """Law 13: stack the A, join the s B; s is applied in the forward pass, so the gradients of A and B feel it."""
    random = torch.Generator().manual_seed(0)
    linear = nn.Linear(7, 5)
    two = AdaptedLinear(linear, [Branch("global", ranks[0], alphas[0]), Branch("local", ranks[1], alphas[1])], 0.0)
    one = AdaptedLinear(linear, [Branch("global", sum(ranks), float(sum(ranks)))], 0.0)
    pairs = [two.branches["global"], two.branches["local"]]
    with torch.no_grad():
        for pair in pairs:
            pair.A.copy_(torch.randn(pair.A.shape, generator=random))
            pair.B.copy_(torch.randn(pair.B.shape, generator=random))
        scales = [alpha / rank for alpha, rank in zip(alphas, ranks, strict=True)]
        one.branches["global"].A.copy_(torch.cat([pair.A for pair in pairs]))
        one.branches["global"].B.copy_(torch.cat([s * pair.B for s, pair in zip(scales, pairs, strict=True)], dim=1))
    tokens_ND = torch.randn(4, 7, generator=random)
    assert_close(two(tokens_ND), one(tokens_ND))
    two(tokens_ND).square().sum().backward()
    one(tokens_ND).square().sum().backward()
    joined: Tensor = one.branches["global"].B.grad
    for s, pair, expected in zip(scales, pairs, joined.split(list(ranks), dim=1), strict=True):
        assert_close(pair.B.grad, s * expected)


@pytest.mark.parametrize("name", ["hetlora", "flexlora"])
def test_a_client_of_lower_rank_trains_and_sends_no_more_than_its_rank(name: str) -> None:
    wide = method(name, "shared")
    (branch,) = wide.strategy.branches
    narrow = replace(wide, strategy=replace(wide.strategy, branches=(replace(branch, ranks=(2, branch.rank)),)))
    course = two_rounds(narrow)
    low, high = course.engine.clients
    assert course.closed[-1].round.bytes_up[low] < course.closed[-1].round.bytes_up[high]
    assert course.closed[-1].round.bytes_down[low] < course.closed[-1].round.bytes_down[high]
    assert course.closed[-1].round.refused == ()
    for client, rank in ((low, 2), (high, branch.rank)):
        made = course.engine.federation
        expected = {str(at): rank for at in map(TensorName.parse, made.start) if at.is_factor}
        awaited = made.awaited(client, 2)
        assert {text: min(awaited[text].shape) for text in expected} == expected
