"""AdamW's moments between visits: one visit and the next are one training where they are kept."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_clients import method
from made_federation import engine, federation
from torch import nn
from torch.testing import assert_close

from fedcmr.algorithms import fedex_lora
from fedcmr.engines.in_process import InProcess
from fedcmr.federation.client import Federation, Handover
from fedcmr.federation.moments import AVERAGE, KEEP, averaging, divided, into_optimizer, is_moment, of_optimizer
from fedcmr.federation.rounds import Closed, rounds
from fedcmr.federation.tuner import Knobs
from fedcmr.messages import Server
from fedcmr.strategy.strategy import Strategy
from fedcmr.tensors import TensorName, without_aux

DUAL = method("med_dual_lora", "shared")
NAME = "head.cls.weight"
BETAS = {"beta1": 0.9, "beta2": 0.999}


def parameter(value: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.full((2, 3), value))


def stepped(theta: nn.Parameter, gradients: list[float], moments: dict | None = None) -> torch.optim.AdamW:
    optimizer = torch.optim.AdamW([theta], lr=0.1)
    into_optimizer(optimizer, {NAME: theta}, moments or {})
    for gradient in gradients:
        theta.grad = torch.full_like(theta, gradient)
        optimizer.step()
    return optimizer


def test_steps_with_a_break_between_them_are_steps_in_one_go() -> None:
    whole, parted = parameter(), parameter()
    stepped(whole, [0.5, -2.0, 3.0, 0.1])
    moments = of_optimizer(stepped(parted, [0.5, -2.0]), {NAME: parted})
    assert {TensorName.parse(name).aux for name in moments} == {"first", "second", "steps"}
    assert all(is_moment(name) for name in moments)
    stepped(parted, [3.0, 0.1], moments)
    assert torch.equal(parted, whole)


def test_a_parameter_that_made_no_step_has_no_moments() -> None:
    theta = parameter()
    assert of_optimizer(torch.optim.AdamW([theta]), {NAME: theta}) == {}


def test_moments_that_travel_are_corrected_for_their_start() -> None:
    # after one step of gradient 2: m = 0.1 * 2, v = 0.001 * 4; corrected 2 and 4
    theta = parameter()
    moments = of_optimizer(stepped(theta, [2.0]), {NAME: theta})
    travelling, staying = divided(moments, {NAME, f"aux.first.{NAME}", f"aux.second.{NAME}"}, **BETAS)
    assert staying == {}
    assert travelling.keys() == {f"aux.first.{NAME}", f"aux.second.{NAME}"}
    assert_close(travelling[f"aux.first.{NAME}"], torch.full((2, 3), 2.0))
    assert_close(travelling[f"aux.second.{NAME}"], torch.full((2, 3), 4.0))
    assert divided(moments, {NAME}, **BETAS) == ({}, moments), "nothing travels that has no role"


def test_corrected_moments_are_gone_on_from_without_a_second_correction() -> None:
    # m = 0.9 * 2 + 0.1 * 2 = 2, v likewise 4: a step of lr * 2 / 2, and weight decay 0.1 * 0.01 of 1
    theta = parameter()
    corrected = {f"aux.first.{NAME}": torch.full((2, 3), 2.0), f"aux.second.{NAME}": torch.full((2, 3), 4.0)}
    stepped(theta, [2.0], corrected)
    assert_close(theta.detach(), torch.full((2, 3), 1.0 - 0.001 - 0.1))


def test_zeros_are_no_start() -> None:
    theta, fresh = parameter(), parameter()
    stepped(theta, [2.0], {f"aux.first.{NAME}": torch.zeros(2, 3), f"aux.second.{NAME}": torch.zeros(2, 3)})
    stepped(fresh, [2.0])
    assert torch.equal(theta, fresh)


def with_policy(policy: str, strategy: Strategy = DUAL.strategy) -> Federation:
    made = federation(replace(DUAL, strategy=averaging(strategy, "a method") if policy == AVERAGE else strategy))
    return replace(made, knobs=replace(made.knobs, moments=policy))


def run(made: InProcess, count: int, server: Server | None = None) -> list[Closed]:
    events = rounds(made.federation.strategy, made, count, server or made.initial(), [], fold=0)
    return [event for event in events if isinstance(event, Closed)]


def test_a_client_keeps_its_moments_and_hands_none_over() -> None:
    made = engine(with_policy(KEEP))
    (handover, _) = made.train(made.initial(), made.clients)
    assert isinstance(handover, Handover)
    trained = {name for name in made.federation.start if not TensorName.parse(name).aux}
    assert {name for name in made.kept[handover.client] if is_moment(name)} == {
        f"aux.{kind}.{name}" for kind in ("first", "second", "steps") for name in trained
    }
    assert b"aux." not in handover.payload


def test_kept_moments_change_the_second_round_and_not_the_first() -> None:
    kept, reset = (run(engine(with_policy(policy)), 2) for policy in (KEEP, "reset"))
    assert_close(dict(kept[0].server.sent), dict(reset[0].server.sent), rtol=0, atol=0)
    assert any(not torch.equal(tensor, reset[1].server.sent[name]) for name, tensor in kept[1].server.sent.items())


def test_moments_are_averaged_like_what_they_belong_to() -> None:
    made = engine(with_policy(AVERAGE))
    first, second = run(made, 2)
    shared = without_aux(first.server.sent).keys()
    for kind in ("first", "second"):
        assert {f"aux.{kind}.{name}" for name in shared} <= first.server.sent.keys()
    own = {name for name in made.kept["vendorA"] if is_moment(name)}
    assert {TensorName.parse(name).branch for name in own} == {"local"}
    assert first.round.refused == second.round.refused == ()
    assert first.round.bytes_up["vendorA"] > 2.5 * run(engine(with_policy(KEEP)), 1)[0].round.bytes_up["vendorA"]


def test_a_run_that_keeps_moments_goes_on_from_the_disk_bit_by_bit(tmp_path: Path) -> None:
    whole = engine(with_policy(KEEP))
    expected = run(whole, 2)
    begun, continued = engine(with_policy(KEEP)), engine(with_policy(KEEP))
    (first,) = run(begun, 1)
    begun.save(tmp_path)
    continued.load(tmp_path)
    (last,) = run(continued, 2, first.server)
    assert_close(dict(last.server.sent), dict(expected[-1].server.sent), rtol=0, atol=0)


def test_a_method_with_a_server_of_its_own_cannot_average_moments() -> None:
    with pytest.raises(
        ValueError, match=r"visit\.moments=average: fedex_lora hands its tensors on in a way of its own"
    ):
        averaging(fedex_lora.build(fedex_lora.Knobs()), "fedex_lora")


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"moments": "mean"}, "expected one of reset, keep, average"),
        ({"moments": "keep", "optimizer": "sgd"}, "no moments"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(knobs: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Knobs(**knobs)  # type: ignore[arg-type]
