"""How a client takes in what was sent, what it hands over, and how loud its branches are."""

import pytest
import torch

from fedcmr.strategy.finishing import split_by_role
from fedcmr.strategy.installing import overwrite
from fedcmr.strategy.mixing import ones
from fedcmr.strategy.roles import Role
from fedcmr.strategy.visiting import Visit

A, B, C = (torch.tensor([value]) for value in (1.0, 2.0, 3.0))


def visit(**roles: Role) -> Visit:
    return Visit(round=1, client="GE", cases=1, steps=1, lr=0.1, roles=roles)


def test_what_was_sent_replaces_what_was_there_and_the_rest_stays() -> None:
    assert overwrite({"x": A, "y": B}, {"x": C}, {"x": A, "y": A}, visit()) == {"x": C, "y": B}


def test_a_name_that_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"GE was sent \['head.z'\], which its model does not have"):
        overwrite({"x": A}, {"head.z": C}, {}, visit())


def test_shared_tensors_are_handed_over_private_ones_kept_and_frozen_ones_neither() -> None:
    record = visit(x=Role.SHARED, y=Role.PRIVATE, z=Role.FROZEN)
    assert split_by_role({}, {"x": A, "y": B, "z": C}, {}, record) == ({"x": A}, {"y": B})


def test_every_branch_is_as_loud_as_the_other() -> None:
    assert ones(["global", "local"]) == {"global": 1.0, "local": 1.0}
    assert ones([]) == {}
