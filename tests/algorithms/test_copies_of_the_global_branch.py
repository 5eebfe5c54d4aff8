"""By hand: methods whose local branch is a copy of the global one. One layer of one number, rank 1."""

from dataclasses import replace

import pytest
import torch
from test_methods_of_the_first_release import one, pair
from torch.testing import assert_close

from fedcmr.algorithms import ditto_lora, fedavg_lora_finetuned
from fedcmr.strategy.strategy import Strategy
from fedcmr.strategy.visiting import Visit
from fedcmr.tensors import TensorName

START = {**pair("global", 1, 0), **pair("local", 2, 0)}
SENT = pair("global", 3, 4)
COPY = {**SENT, **pair("local", 3, 4)}
VISIT = Visit(2, "GE", 1, 2, 0.1)
TRAINED = {**START, **pair("local", 5, 6)}

DITTO = ditto_lora.build(ditto_lora.Knobs(weight=0.4, local_share=0.25, rank=1, alpha=1.0))
TUNED = fedavg_lora_finetuned.build(fedavg_lora_finetuned.Knobs(local_share=0.25, rank=1, alpha=1.0))
both = pytest.mark.parametrize("strategy", [DITTO, TUNED], ids=["ditto", "finetuned"])


@both
def test_a_first_visit_begins_with_a_copy_of_what_was_sent(strategy: Strategy) -> None:
    assert_close(dict(strategy.install(START, SENT, START, VISIT)), COPY)


def test_later_dittos_own_adapter_goes_on_and_the_tuned_copy_is_made_anew() -> None:
    assert_close(dict(DITTO.install(TRAINED, SENT, START, VISIT)), {**SENT, **pair("local", 5, 6)})
    assert_close(dict(TUNED.install(TRAINED, SENT, START, VISIT)), COPY)


@both
def test_who_is_scored_keeps_his_copy_and_a_new_client_gets_one(strategy: Strategy) -> None:
    scored = replace(VISIT, trains=False)
    assert_close(dict(strategy.install(TRAINED, SENT, START, scored)), {**SENT, **pair("local", 5, 6)})
    assert_close(dict(strategy.install(START, SENT, START, scored)), COPY)
    assert strategy.at_test == {"global"}


@both
def test_each_branch_trains_while_the_other_is_silent(strategy: Strategy) -> None:
    first, second = strategy.phases(1)
    parts = {word: TensorName.parse(word) for word in ("q.branches.global.A", "q.branches.local.A", "head.cls.bias")}
    assert [first.train(part) for part in parts.values()] == [True, False, True]
    assert [second.train(part) for part in parts.values()] == [False, True, False]
    assert (first.silent, second.silent) == ({"local"}, {"global"})
    assert (first.share, second.share) == (0.75, 0.25)


def test_ditto_is_held_near_the_global_pair_that_was_received() -> None:
    # ((5 − 3)² + (6 − 4)²) · 0.4 / 2 = 1.6, gradient λ (v − θ)
    penalty = DITTO.phases(1)[1].penalty
    live = {name: tensor.requires_grad_() for name, tensor in pair("local", 5, 6).items()}
    loss = penalty(live, COPY, {}, {})
    loss.backward()
    assert_close(loss.detach(), torch.tensor(1.6))
    assert_close(live["q.branches.local.B"].grad, one(0.8))


def test_without_the_penalty_ditto_is_finetuning_that_never_starts_anew() -> None:
    assert replace(DITTO, phases=TUNED.phases, install=TUNED.install) == TUNED


def test_wishes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weight=-1: expected at least 0"):
        ditto_lora.build(ditto_lora.Knobs(weight=-1))
    with pytest.raises(ValueError, match=r"local_share=0: expected a share"):
        fedavg_lora_finetuned.build(fedavg_lora_finetuned.Knobs(local_share=0.0))
