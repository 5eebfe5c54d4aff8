"""Who owns a tensor."""

import pytest

from fedcmr.strategy.roles import HeadOwner, Role, everything_private, everything_shared, local_branch_private
from fedcmr.tensors import TensorName

GLOBAL_A, LOCAL_A, LOCAL_GATE, HEAD, GLOBAL_HEAD, LOCAL_HEAD = (
    TensorName.parse(text)
    for text in (
        "blocks.4.attn.q.branches.global.A",
        "blocks.4.attn.q.branches.local.A",
        "blocks.4.attn.q.gate.local",
        "head.sax.weight",
        "head.global.sax.weight",
        "head.local.sax.weight",
    )
)


def test_everything_has_one_owner_under_the_plain_rules() -> None:
    for name in (GLOBAL_A, LOCAL_A, LOCAL_GATE, HEAD):
        assert everything_shared(name, 1) is Role.SHARED
        assert everything_private(name, 1) is Role.PRIVATE


def test_the_local_branch_and_its_gate_are_private_and_the_rest_is_shared() -> None:
    assert [local_branch_private(name, 1) for name in (GLOBAL_A, LOCAL_A, LOCAL_GATE, HEAD)] == [
        Role.SHARED,
        Role.PRIVATE,
        Role.PRIVATE,
        Role.SHARED,
    ]


@pytest.mark.parametrize(("owner", "role"), [("shared", Role.SHARED), ("private", Role.PRIVATE)])
def test_the_head_has_the_owner_that_was_asked_for(owner: str, role: Role) -> None:
    owned = HeadOwner(owner, local_branch_private)
    assert owned(HEAD, 1) is role
    assert owned(GLOBAL_A, 1) is Role.SHARED
    assert owned(LOCAL_A, 1) is Role.PRIVATE


def test_of_two_heads_the_global_one_is_shared_and_the_local_one_private() -> None:
    owned = HeadOwner("both", everything_shared)
    assert owned(GLOBAL_HEAD, 1) is Role.SHARED
    assert owned(LOCAL_HEAD, 1) is Role.PRIVATE


def test_a_head_of_another_owner_is_refused() -> None:
    with pytest.raises(ValueError, match=r"head\.owner=mine: expected shared, private or both"):
        HeadOwner("mine", everything_shared)
