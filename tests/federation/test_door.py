"""The only way out of a client, and the only way into the server."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor
from torch.testing import assert_close

from fedcmr.federation.door import LeakError, RefusedError, hand_over, let_in, pack, unpack
from fedcmr.messages import Update
from fedcmr.strategy.roles import Role

EXPECTED = {"q.branches.global.A": torch.ones(2, 3), "head.cls.bias": torch.zeros(2)}
SHARED = dict.fromkeys(EXPECTED, Role.SHARED)


def update(tensors: dict[str, Tensor] | None = None, cases: int = 3) -> Update:
    trained = {name: tensor + 0.5 for name, tensor in EXPECTED.items()} if tensors is None else tensors
    return Update("GE", 2, trained, cases, {"auroc": None, "brier": 0.25}, "hash")


def payload(tensors: dict[str, Tensor], **said: object) -> bytes:
    """Bytes that a client who does not use `hand_over` might send."""
    return pack(tensors, {"client": "GE", "round": 2, "cases": 3, "scores": {}, "private_hash": "", **said})


def test_an_update_comes_in_as_it_went_out() -> None:
    met = let_in(hand_over(update(), SHARED), "GE", 2, EXPECTED)
    assert_close(met.tensors, update().tensors, rtol=0, atol=0)
    assert (met.client, met.round, met.cases, met.scores, met.private_hash) == (
        "GE",
        2,
        3,
        {"auroc": None, "brier": 0.25},
        "hash",
    )


def test_an_update_of_nothing_shared_still_reports_its_scores() -> None:
    met = let_in(hand_over(update({}), {}), "GE", 2, {})
    assert met.tensors == {}
    assert met.scores["brier"] == 0.25


def test_equal_updates_are_equal_bytes_whatever_the_order_of_their_tensors() -> None:
    backwards = dict(reversed(list(update().tensors.items())))
    assert hand_over(update(), SHARED) == hand_over(update(backwards), SHARED)


def test_a_slice_of_a_larger_tensor_takes_nothing_else_along() -> None:
    secret = torch.full((100,), 7.25)
    whole = torch.cat([torch.zeros(2), secret])
    sent = hand_over(update({"head.cls.bias": whole[:2]}), SHARED)
    assert secret[:1].numpy().tobytes() not in sent


@pytest.mark.parametrize(
    ("role", "word"), [(Role.PRIVATE, "PRIVATE"), (Role.FROZEN, "FROZEN"), (None, "no declared role")]
)
def test_what_is_not_shared_never_passes_the_door(role: Role | None, word: str) -> None:
    roles = {name: kind for name, kind in {**SHARED, "head.cls.bias": role}.items() if kind is not None}
    with pytest.raises(LeakError, match=f"GE: 'head.cls.bias' is .*{word}"):
        hand_over(update(), roles)


def test_a_folded_delta_never_passes_the_door() -> None:
    with pytest.raises(LeakError, match="folded delta"):
        hand_over(update({"q.delta": torch.zeros(1)}), {"q.delta": Role.SHARED})


WRONG = {
    "signed by another": (payload(EXPECTED, client="Siemens"), "signed 'Siemens', round 2; expected GE, round 2"),
    "of another round": (payload(EXPECTED, round=1), "signed 'GE', round 1"),
    "a tensor short": (payload({"head.cls.bias": torch.zeros(2)}), r"missing \['q.branches.global.A'\]"),
    "a tensor more": (payload({**EXPECTED, "q.delta": torch.zeros(1)}), r"unexpected \['q.delta'\]"),
    "another shape": (
        payload({**EXPECTED, "head.cls.bias": torch.zeros(3)}),
        r"is \(3,\) torch.float32, expected \(2,\)",
    ),
    "another type": (payload({**EXPECTED, "head.cls.bias": torch.zeros(2).double()}), "torch.float64, expected"),
    "NaN": (payload({**EXPECTED, "head.cls.bias": torch.tensor([0.0, float("nan")])}), "'head.cls.bias' holds values"),
    "infinite": (payload({**EXPECTED, "head.cls.bias": torch.tensor([0.0, float("inf")])}), "not finite"),
    "no cases": (payload(EXPECTED, cases=0), "trained on 0 cases"),
    "cases that are no number": (payload(EXPECTED, cases="many"), "trained on 'many' cases"),
    "cases that are true": (payload(EXPECTED, cases=True), "trained on True cases"),
    "more cases than people live": (payload(EXPECTED, cases=10**400), "expected 1 to 1,000,000,000"),
    "a score beyond all numbers": (payload(EXPECTED, scores={"auroc": 10**400}), "scores"),
    "a thousand scores": (payload(EXPECTED, scores={str(i): 0.5 for i in range(1000)}), "at most 100"),
    "a hash that is a book": (payload(EXPECTED, private_hash="x" * 10**6), r"private_hash '\w{99}…, expected"),
    "another's name that is a book": (payload(EXPECTED, client="x" * 10**6), r"signed '\w{99}…, round 2"),
    "a tensor whose name is a book": (payload({**EXPECTED, "x" * 10**4: torch.zeros(1)}), r"unexpected \['\w{98}…"),
    "metadata that never end": (save(EXPECTED, metadata={"said": "[" * 10**5}), "no update"),
    "scores that are no scores": (payload(EXPECTED, scores=[1]), "scores"),
    "a score that is text": (payload(EXPECTED, scores={"auroc": "high"}), "scores"),
    "a score that is NaN": (payload(EXPECTED, scores={"auroc": float("nan")}), "scores"),
    "a hash that is none": (payload(EXPECTED, private_hash=3), "private_hash"),
    "no bytes": (b"", "0 bytes that are no update"),
    "other bytes": (b"not an update at all", "no update"),
    "no metadata": (save(EXPECTED), "no update"),
    "metadata that are a list": (save(EXPECTED, metadata={"said": json.dumps([1])}), "no update"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_update_is_refused_that_is(what: str) -> None:
    sent, reason = WRONG[what]
    with pytest.raises(RefusedError, match=reason):
        let_in(sent, "GE", 2, EXPECTED)


def gets_in(sent: bytes) -> bool:
    """Whether the server lets it in; then it is finite and of the expected form."""
    try:
        met = let_in(sent, "GE", 2, EXPECTED)
    except RefusedError:
        return False
    assert met.tensors.keys() == EXPECTED.keys()
    assert all(tensor.isfinite().all() for tensor in met.tensors.values())
    return True


@given(st.binary(max_size=200))
def test_bytes_at_random_are_refused(sent: bytes) -> None:
    assert not gets_in(sent)


@given(st.data())
def test_a_payload_that_was_cut_is_refused_and_one_that_was_changed_does_no_harm(data: st.DataObject) -> None:
    whole = hand_over(update(), SHARED)
    assert gets_in(whole)
    assert not gets_in(whole[: data.draw(st.integers(0, len(whole) - 1))])
    place, byte = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    gets_in(whole[:place] + bytes([byte]) + whole[place + 1 :])


def test_what_is_packed_is_unpacked() -> None:
    tensors, said = unpack(pack(EXPECTED, {"round": 3}))
    assert_close(tensors, EXPECTED)
    assert said == {"round": 3}
