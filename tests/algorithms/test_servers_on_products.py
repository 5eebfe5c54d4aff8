"""By hand: servers that work on products B A. One layer of one number, rank 1, clients of 1 and 3 cases."""

import pytest
import torch
from test_methods_of_the_first_release import one, pair
from torch import Tensor
from torch.testing import assert_close

from fedcmr.algorithms import fedavg_lora, fedex_lora, flexlora, flora, hetlora
from fedcmr.branches import Branch, starting_value
from fedcmr.messages import Server, Update
from fedcmr.strategy.visiting import Visit

A, B, DELTA = "q.branches.global.A", "q.branches.global.B", "q.delta"
SENT = pair("global", 1, 0)
UPDATES = [Update("GE", 1, pair("global", 2, 1), 1), Update("Siemens", 1, pair("global", -2, 5), 3)]
"""Ā = (2 − 6) / 4 = −1, B̄ = (1 + 15) / 4 = 4, and the mean of the products (2 − 30) / 4 = −7."""

SHARES = [0.25, 0.75]


def test_fedex_folds_what_the_mean_of_the_factors_misses_times_s() -> None:
    # s (−7 − 4·(−1)) = 2 · (−3) = −6, so that W + Δ + s B̄ Ā = −6 − 8 = −14 = 2 · (−7)
    strategy = fedex_lora.build(fedex_lora.Knobs(rank=1, alpha=2.0))
    sent, memory = strategy.combine(UPDATES, SHARES, Server(0, SENT))
    assert_close(sent, {A: one(-1), B: one(4), DELTA: one(-6)})
    again, _ = strategy.combine(UPDATES, SHARES, Server(1, sent, memory))
    assert_close(again[DELTA], one(-12)), "a second round folds on top of the first"


def test_flora_folds_the_products_and_begins_anew() -> None:
    # Δ = 1 + 2 · (−7) after an earlier Δ of 1; no factor is sent
    strategy = flora.build(flora.Knobs(rank=1, alpha=2.0))
    sent, _ = strategy.combine(UPDATES, SHARES, Server(0, {**SENT, DELTA: one(1)}))
    assert_close(sent, {DELTA: one(-13)})
    start = pair("global", 0.5, 0)
    visit = Visit(3, "GE", 1, 2, 0.1, seed=7)
    model = strategy.install({**start, **pair("global", 9, 9)}, sent, start, visit)
    assert_close(dict(model), {A: starting_value(A, one(0), 7, restart=3), B: one(0), DELTA: one(-13)})


def test_the_new_start_of_a_factor_is_another_in_each_round_and_alike_at_all_clients() -> None:
    strategy, start = flora.build(flora.Knobs(rank=1)), pair("global", 0.5, 0)
    drawn = [strategy.install(start, {}, start, Visit(round, "GE", 1, 2, 0.1))[A] for round in (1, 2)]
    assert not torch.equal(*drawn)
    assert torch.equal(drawn[0], strategy.install(start, {}, start, Visit(1, "Philips", 9, 2, 0.1))[A])


def test_flexlora_splits_the_mean_of_the_products_by_its_singular_values() -> None:
    # −7 = u · 7 · v: B = ± √7, A = ∓ √7
    strategy = flexlora.build(flexlora.Knobs(rank=1))
    sent, _ = strategy.combine(UPDATES, SHARES, Server(0, SENT))
    assert_close(sent[B] @ sent[A], one(-7))
    assert_close(sent[A].abs(), one(7**0.5))
    assert_close(sent[B].abs(), one(7**0.5))


def matrices(ranks: dict[str, int], seed: int = 0) -> list[Update]:
    """Clients with factors of a layer of 6 x 5 and their own ranks."""
    draw = torch.Generator().manual_seed(seed)

    def factors(rank: int) -> dict[str, Tensor]:
        return {A: torch.randn(rank, 5, generator=draw), B: torch.randn(6, rank, generator=draw)}

    return [Update(client, 1, factors(rank), 1) for client, rank in ranks.items()]


def test_flexlora_is_exact_where_the_rank_is_that_of_the_mean_of_the_products() -> None:
    updates = matrices({"GE": 2, "Siemens": 3})
    whole = sum(0.5 * update.tensors[B] @ update.tensors[A] for update in updates)
    sent, _ = flexlora.build(flexlora.Knobs(rank=5)).combine(
        updates, [0.5, 0.5], Server(0, {A: torch.zeros(5, 5), B: torch.zeros(6, 5)})
    )
    assert_close(sent[B] @ sent[A], whole)


def test_flexlora_gives_each_client_the_best_approximation_of_its_rank() -> None:
    # Eckart and Young: the error of the best rank 2 is the root of the sum of the other squared singular values
    strategy = flexlora.build(flexlora.Knobs(rank=3, ranks=(2, 3)))
    updates = matrices({"GE": 2, "Siemens": 3})
    whole = sum(0.5 * update.tensors[B] @ update.tensors[A] for update in updates)
    like = {A: torch.zeros(3, 5), B: torch.zeros(6, 3)}
    sent, _ = strategy.combine(updates, [0.5, 0.5], Server(0, like))
    model = strategy.install(like, sent, like, Visit(2, "GE", 1, 2, 0.1, rank={"global": 2}))
    assert model[A][2:].abs().max() == 0
    assert model[B][:, 2:].abs().max() == 0
    singular = torch.linalg.svdvals(whole)
    assert_close((model[B] @ model[A] - whole).norm(), singular[2:].square().sum().sqrt())


def test_hetlora_pads_and_lets_who_learned_more_speak_louder() -> None:
    # ‖B A‖ = |1·2| = 2 and |5·(−2)| = 10: shares 1/6 and 5/6, whoever the patients
    strategy = hetlora.build(hetlora.Knobs(rank=2, ranks=(1, 2)))
    wide = Update("Siemens", 1, {A: torch.tensor([[-2.0], [0.0]]), B: torch.tensor([[5.0, 0.0]])}, 3)
    updates = [UPDATES[0], wide]
    weights = strategy.weigh(updates, [])
    assert weights == pytest.approx([1 / 6, 5 / 6])
    sent, _ = strategy.combine(updates, weights, Server(0, {A: torch.zeros(2, 1), B: torch.zeros(1, 2)}))
    assert_close(sent[A], torch.tensor([[(2 - 10) / 6], [0.0]]))
    assert_close(sent[B], torch.tensor([[(1 + 25) / 6, 0.0]]))


def test_clients_that_learned_nothing_speak_alike() -> None:
    still = [Update(client, 1, SENT, cases) for client, cases in (("GE", 1), ("Siemens", 3))]
    assert hetlora.build(hetlora.Knobs()).weigh(still, []) == [0.5, 0.5]


def test_a_client_hands_over_its_own_rank_alone() -> None:
    strategy = hetlora.build(hetlora.Knobs(rank=3, ranks=(1, 3)))
    model = {A: torch.ones(3, 5), B: torch.ones(6, 3)}
    visit = Visit(1, "GE", 1, 2, 0.1, rank={"global": 1}, roles=strategy.roles(list(model), 1))
    handed, kept = strategy.finish(model, model, {}, visit)
    assert {name: tuple(tensor.shape) for name, tensor in handed.items()} == {A: (1, 5), B: (6, 1)}
    assert kept == {}
    awaited = strategy.awaited(model, 1, {"global": 1})
    assert {name: tensor.shape for name, tensor in awaited.items()} == {name: handed[name].shape for name in handed}


def test_with_one_rank_for_all_they_have_the_branch_of_fedavg() -> None:
    fedavg = fedavg_lora.build(fedavg_lora.Knobs()).branches
    for build, knobs in ((flexlora.build, flexlora.Knobs()), (hetlora.build, hetlora.Knobs())):
        assert build(knobs).branches == fedavg
    assert Branch("global", 4, ranks=(1, 4)).rank_of(2) == 1, "ranks begin again where there are more clients"
