"""The name grammar and the arithmetic over dictionaries of tensors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from fedcmr.branches import Branch, starting_generator
from fedcmr.tensors import TensorName, add, count_bytes, digest, dot, mean, scaled, select, squared_norm, subtract

KEYWORDS = ("branches", "gate", "delta", "weights", "head", "aux", "global", "local", "A", "B")
words = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(lambda word: word not in KEYWORDS)
paths = st.lists(words | st.integers(0, 31).map(str), min_size=1, max_size=4).map(".".join)
branches = st.sampled_from(("global", "local", "third"))
owners = st.sampled_from(("", "global", "local"))
names = st.one_of(
    st.builds(TensorName, paths, st.just("factor"), branch=branches, factor=st.sampled_from("AB")),
    st.builds(TensorName, paths, st.just("gate"), branch=branches),
    st.builds(TensorName, paths, st.just("delta")),
    st.builds(TensorName, paths, st.just("weights"), leaf=st.sampled_from(("weight", "bias"))),
    st.builds(TensorName, st.just(""), st.just("head"), owner=owners, leaf=paths),
)
auxiliary = st.builds(lambda name, aux: TensorName(**{**vars(name), "aux": aux}), names, words)


@given(names | auxiliary)
def test_a_name_read_and_written_is_the_same_name(name: TensorName) -> None:
    assert TensorName.parse(str(name)) == name


def comes_back(text: str) -> bool:
    """Whether a text is a name, letter by letter; otherwise it is refused with a message that shows it."""
    try:
        return str(TensorName.parse(text)) == text
    except ValueError as error:
        return f"'{text}'" in str(error) and "Expected one of the forms" in str(error)


@given(st.lists(words | st.sampled_from(KEYWORDS), min_size=1, max_size=7).map(".".join) | st.text(max_size=20))
def test_a_text_is_either_refused_or_comes_back_letter_by_letter(text: str) -> None:
    assert comes_back(text)


def test_the_names_of_the_plan_say_what_the_plan_says() -> None:
    factor = TensorName.parse("encoder.blocks.11.attn.q.branches.global.A")
    assert (factor.layer, factor.branch, factor.factor) == ("encoder.blocks.11.attn.q", "global", "A")
    assert factor.is_factor
    assert not factor.is_head
    assert TensorName.parse("encoder.blocks.11.attn.q.gate.local").branch == "local"
    assert TensorName.parse("encoder.blocks.11.attn.q.delta").is_delta
    assert TensorName.parse("encoder.blocks.11.mlp.fc1.weights.weight").leaf == "weight"
    assert TensorName.parse("head.sax.weight") == TensorName("", "head", leaf="sax.weight")
    assert TensorName.parse("head.local.cls.bias") == TensorName("", "head", owner="local", leaf="cls.bias")
    control = TensorName.parse("aux.control.head.cls.bias")
    assert control.aux == "control"
    assert control.is_head


@pytest.mark.parametrize(
    "text",
    ["", "head", "head.", "encoder", "encoder..delta", "delta", "q.branches.global.C", "branches.global.A",
     "aux.control", "aux.control.aux.moment.head.bias", "q.gate", "q.weights"],
)  # fmt: skip
def test_a_text_outside_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Expected one of the forms"):
        TensorName.parse(text)


def test_the_scale_of_a_branch_is_alpha_over_rank() -> None:
    assert Branch("global", rank=4, alpha=16.0).scale == 4.0


@pytest.mark.parametrize(("name", "rank", "alpha"), [("Global", 1, 1.0), ("a.b", 1, 1.0), ("", 1, 1.0), ("b", 0, 1.0)])
def test_a_branch_outside_its_ranges_is_refused(name: str, rank: int, alpha: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        Branch(name, rank, alpha)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan")])
def test_a_branch_of_no_scale_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="expected ≥ 1 and > 0"):
        Branch("global", 8, alpha)


def test_a_starting_value_depends_on_seed_and_name_alone() -> None:
    def draw(seed: int, name: str) -> torch.Tensor:
        return torch.randn(4, generator=starting_generator(seed, name))

    assert torch.equal(draw(0, "q.branches.global.A"), draw(0, "q.branches.global.A"))
    assert not torch.equal(draw(0, "q.branches.global.A"), draw(0, "q.branches.local.A"))
    assert not torch.equal(draw(0, "q.branches.global.A"), draw(1, "q.branches.global.A"))


def test_arithmetic_goes_name_by_name() -> None:
    left, right = {"a": torch.tensor([1.0, 2.0])}, {"a": torch.tensor([3.0, -1.0])}
    assert_close(add(left, right), {"a": torch.tensor([4.0, 1.0])})
    assert_close(subtract(left, right), {"a": torch.tensor([-2.0, 3.0])})
    assert_close(scaled(left, 2.0), {"a": torch.tensor([2.0, 4.0])})
    assert float(dot(left, right)) == 1.0
    assert float(squared_norm(left)) == 5.0
    assert float(squared_norm({})) == 0.0


def test_a_mean_is_weighted_and_normalised() -> None:
    # (1·0 + 3·4) / 4 = 3
    members = [{"a": torch.tensor([0.0])}, {"a": torch.tensor([4.0])}]
    assert_close(mean(members, [1, 3]), {"a": torch.tensor([3.0])})
    assert mean([{"a": torch.zeros(1, dtype=torch.float16)}], [2.0])["a"].dtype is torch.float16


def test_a_mean_adds_up_in_float64() -> None:
    # in float32, 1e8 + 1 − 1e8 is 0
    members = [{"a": torch.tensor([value])} for value in (1e8, 1.0, -1e8)]
    assert_close(mean(members, [1, 1, 1]), {"a": torch.tensor([1 / 3])})


def test_a_mean_without_sense_is_refused() -> None:
    one = {"a": torch.ones(1)}
    for members, weights in (([], []), ([one], [1, 2]), ([one], [0.0]), ([one], [float("nan")])):
        with pytest.raises(ValueError, match="of positive sum"):
            mean(members, weights)
    with pytest.raises(ValueError, match="differ in names"):
        mean([one, {"b": torch.ones(1)}], [1, 1])
    with pytest.raises(ValueError, match="differ in names"):
        add(one, {})


def test_bytes_are_those_of_the_values() -> None:
    assert count_bytes({"a": torch.zeros(3, 2), "b": torch.zeros(5, dtype=torch.float16)}) == 24 + 10


def test_a_digest_hears_names_types_shapes_and_values_but_not_order() -> None:
    one, two = torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])
    assert digest({"a": one, "b": two}) == digest({"b": two, "a": one})
    others = [{"a": two, "b": one}, {"a": one.T, "b": two}, {"a": one.double(), "b": two}, {"a": one, "b": two + 1}]
    assert digest({"a": one, "b": two}) not in [digest(other) for other in others]
    assert digest({"a": torch.tensor(1.0)}) != digest({"a": torch.tensor(2.0)})


def test_select_keeps_the_order_of_the_tensors() -> None:
    tensors = {name: torch.zeros(1) for name in ("c", "a", "b")}
    assert list(select(tensors, {"b", "c", "absent"})) == ["c", "b"]
