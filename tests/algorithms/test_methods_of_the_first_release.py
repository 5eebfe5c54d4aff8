"""One example by hand for each method: one layer of one number, rank 1, made clients of 1 and 3 cases.

What a client's model computes from x = 1 is w + Σ_b s_b B_b A_b with pristine w = 0.
"""

import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.algorithms import fedavg_lora, head_only, local_only, med_dual_lora, pooled
from fedcmr.branches import Branch
from fedcmr.messages import Server, Update
from fedcmr.strategy.roles import Role
from fedcmr.strategy.strategy import Strategy
from fedcmr.strategy.visiting import Visit
from fedcmr.tensors import Tensors


def one(value: float) -> Tensor:
    return torch.tensor([[float(value)]])


def pair(branch: str, A: float, B: float) -> dict[str, Tensor]:
    return {f"q.branches.{branch}.A": one(A), f"q.branches.{branch}.B": one(B)}


def after_a_round(
    strategy: Strategy, trained: dict[str, dict[str, Tensor]], cases: dict[str, int]
) -> dict[str, Tensors]:
    """Client -> its model at the start of the next round."""
    updates, kept = [], {}
    for client, tensors in trained.items():
        visit = Visit(1, client, cases[client], steps=1, lr=0.1, roles=strategy.roles(list(tensors), 1))
        handed, kept[client] = strategy.finish({}, tensors, {}, visit)
        updates.append(Update(client, 1, handed, cases[client]))
    sent, _ = strategy.combine(updates, strategy.weigh(updates, []), Server(0, {}))
    return {client: strategy.install({**trained[client], **kept[client]}, sent, {}, visit) for client in trained}


CASES = {"GE": 1, "Siemens": 3}


def test_fedavg_lora_averages_the_factors_apart() -> None:
    # A = (1·2 + 3·(−2)) / 4 = −1, B = (1·1 + 3·5) / 4 = 4: W = s·4·(−1) = −8 with s = 2 / 1.
    # The mean of the products would be s·(1·2 + 3·(−10)) / 4 = −14: the factors are not averaged exactly.
    strategy = fedavg_lora.build(fedavg_lora.Knobs(rank=1, alpha=2.0))
    models = after_a_round(strategy, {"GE": pair("global", 2, 1), "Siemens": pair("global", -2, 5)}, CASES)
    for model in models.values():
        product = strategy.branches[0].scale * model["q.branches.global.B"] @ model["q.branches.global.A"]
        assert_close(product, one(-8.0))


def test_fedavg_lora_is_as_large_as_med_dual_lora() -> None:
    (branch,) = fedavg_lora.build(fedavg_lora.Knobs()).branches
    assert branch.rank == sum(branch.rank for branch in med_dual_lora.build(med_dual_lora.Knobs()).branches)


def test_med_dual_lora_averages_the_global_pair_and_leaves_the_local_one_with_its_client() -> None:
    # global as in FedAvg: −4 at s = 1. Local, s = 3 / 1: GE 3·(1·1) = 3, Siemens 3·(2·(−1)) = −6.
    knobs = med_dual_lora.Knobs(rank_global=1, rank_local=1, alpha_global=1.0, alpha_local=3.0)
    strategy = med_dual_lora.build(knobs)
    trained = {
        "GE": {**pair("global", 2, 1), **pair("local", 1, 1)},
        "Siemens": {**pair("global", -2, 5), **pair("local", -1, 2)},
    }
    outputs = {
        client: sum(
            branch.scale * model[f"q.branches.{branch.name}.B"] @ model[f"q.branches.{branch.name}.A"]
            for branch in strategy.branches
        )
        for client, model in after_a_round(strategy, trained, CASES).items()
    }
    assert_close(outputs, {"GE": one(-4.0 + 3.0), "Siemens": one(-4.0 - 6.0)})


def test_med_dual_lora_has_the_two_branches_of_its_knobs() -> None:
    strategy = med_dual_lora.build(med_dual_lora.Knobs(rank_global=2, rank_local=3, alpha_global=4.0, alpha_local=5.0))
    assert strategy.branches == (Branch("global", 2, 4.0), Branch("local", 3, 5.0))


def test_local_only_hands_over_nothing_and_leaves_each_client_as_it_was() -> None:
    strategy = local_only.build(local_only.Knobs(rank=1, alpha=1.0))
    trained = {"GE": pair("local", 2, 1), "Siemens": pair("local", -2, 5)}
    assert set(strategy.roles(list(trained["GE"]), 1).values()) == {Role.PRIVATE}
    assert_close(after_a_round(strategy, trained, CASES), trained)


def test_head_only_averages_the_head_and_has_no_adapter() -> None:
    # (1·0 + 3·4) / 4 = 3
    strategy = head_only.build(head_only.Knobs())
    assert strategy.branches == ()
    models = after_a_round(strategy, {"GE": {"head.cls.bias": one(0)}, "Siemens": {"head.cls.bias": one(4)}}, CASES)
    assert_close(models, {client: {"head.cls.bias": one(3.0)} for client in CASES})


def test_pooled_gives_its_one_client_back_what_it_trained() -> None:
    strategy = pooled.build(pooled.Knobs(rank=1, alpha=1.0))
    assert strategy.pool
    trained = {"pooled": pair("global", 2, 1)}
    assert_close(after_a_round(strategy, trained, {"pooled": 4}), trained)
