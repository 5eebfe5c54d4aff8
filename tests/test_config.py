"""Configuration: file, flags and overrides against knob dataclasses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcmr.config import Config, Raw, about, fill, gather, write


@dataclass(frozen=True)
class Run:
    rounds: int = 20
    clients: tuple[str, ...] = ()


@dataclass(frozen=True)
class Data:
    root: str
    sites: int = 0


@dataclass(frozen=True)
class Split:
    folds: int = 0


@dataclass(frozen=True)
class Visit:
    lr: float = 1e-3
    epochs: int = 1
    balanced: bool = True
    numbers: tuple[int, ...] = (1, 2)


SCHEMA = {"": (Run,), "data": (Split, Data), "visit": (Visit,)}
NEEDED = ("data=acdc", "data.root=somewhere")


def filled(*overrides: str, file: Path | None = None, flags: Raw | None = None) -> Config:
    return fill(gather(file, flags or {}, [*NEEDED, *overrides]), SCHEMA)


texts = st.text(st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="$\\"), max_size=12)


@given(
    st.integers(-5, 10**6), st.lists(texts, max_size=3), texts, st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(), st.lists(st.integers(), max_size=3),
)  # fmt: skip
def test_plain_values_filled_in_again_are_the_same_configuration(
    rounds: int, clients: Sequence[str], root: str, lr: float, balanced: bool, numbers: Sequence[int]
) -> None:
    raw: Raw = {
        "rounds": rounds,
        "clients": clients,
        "data": {"name": "acdc", "root": root},
        "visit": {"lr": lr, "balanced": balanced, "numbers": numbers},
    }
    config = fill(raw, SCHEMA)
    assert config.of("", Run) == Run(rounds, tuple(clients))
    assert config.of("data", Data) == Data(root)
    assert config.of("visit", Visit) == Visit(lr, 1, balanced, tuple(numbers))
    again = fill(config.plain(), SCHEMA)
    assert (again.sections, again.names) == (config.sections, config.names)
    assert again.digest() == config.digest()


def test_a_configuration_written_as_yaml_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    config = filled("visit.lr=3e-4", "clients=[a,b]", "data.root=007")
    file.write_text(config.text(), encoding="utf-8")
    assert fill(gather(file, {}, []), SCHEMA).sections == config.sections


def test_an_override_beats_a_flag_and_a_flag_beats_the_file(tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text("rounds: 1\nvisit: {lr: 1.0, epochs: 1}\ndata: phantom\n", encoding="utf-8")
    flags: Raw = {"rounds": 2, "visit.epochs": 2, "data": "mnms"}
    alone = fill(gather(file, {}, ["data.root=x"]), SCHEMA)
    assert (alone.of("", Run).rounds, alone.of("visit", Visit).lr, alone.names["data"]) == (1, 1.0, "phantom")
    flagged = fill(gather(file, flags, ["data.root=x"]), SCHEMA)
    assert (flagged.of("", Run).rounds, flagged.of("visit", Visit).lr, flagged.names["data"]) == (2, 1.0, "mnms")
    both = fill(gather(file, flags, ["data.root=x", "rounds=3", "data=acdc"]), SCHEMA)
    assert (both.of("", Run).rounds, both.of("visit", Visit).epochs, both.names["data"]) == (3, 2, "acdc")


@pytest.mark.parametrize("overrides", [("data=acdc", "data.root=x"), ("data.root=x", "data=acdc")])
def test_a_bare_part_is_its_name_and_leaves_its_knobs_alone(overrides: Sequence[str]) -> None:
    config = fill(gather(None, {}, overrides), SCHEMA)
    assert (config.names["data"], config.of("data", Data).root) == ("acdc", "x")


@pytest.mark.parametrize(
    ("override", "near"),
    [("visit.epoch=2", "visit.epochs"), ("data.rot=x", "data.root"), ("data.fold=5", "data.folds"),
     ("round=3", "rounds"), ("vist.lr=1", "visit")],
)  # fmt: skip
def test_an_unknown_knob_is_refused_with_the_nearest_name(override: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown knob .* Did you mean '{near}'?"):
        filled(override)


@pytest.mark.parametrize(
    ("override", "wanted"),
    [("visit.lr=fast", "visit.lr=fast: expected a value of type float"),
     ("visit.lr=null", "visit.lr=None: expected a value of type float"),
     ("visit.lr.x=1", "expected a value of type float"),
     ("visit.epochs=1.5", "visit.epochs=1.5: expected a value of type int"),
     ("visit.epochs=true", "expected a value of type int"),
     ("visit.balanced=maybe", "expected a value of type bool"),
     ("data.root=", "data.root=None: expected a value of type str"),
     ("clients=a", r"clients=a: expected a value of type tuple\[str, ...\], written as \[first,second\]"),
     ("visit.numbers=[a]", r"visit.numbers=\['a'\]: expected a value of type tuple\[int, ...\]"),
     ("visit.numbers={a: 1}", "expected a value of type tuple"),
     ("visit=3", "'visit' is a group of knobs")],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_refused_by_name(override: str, wanted: str) -> None:
    with pytest.raises(ValueError, match=wanted):
        filled(override)


def test_a_misspelt_knob_is_named_before_the_one_that_is_then_missing() -> None:
    with pytest.raises(ValueError, match=r"Unknown knob 'data\.rot'.*Did you mean 'data\.root'"):
        fill(gather(None, {}, ["data=acdc", "data.rot=x"]), SCHEMA)


def test_a_knob_without_default_is_asked_for() -> None:
    with pytest.raises(ValueError, match=r"Knob data.root is needed and has no default: set data.root=\.\.\."):
        fill(gather(None, {}, ["data=acdc"]), SCHEMA)


def test_numbers_flags_and_lists_get_the_types_of_their_knobs() -> None:
    config = filled("visit.lr=1", "visit.epochs=3", "visit.balanced=false", "visit.numbers=[4,5]", "clients=[GE, b]")
    assert config.of("visit", Visit) == Visit(1.0, 3, False, (4, 5))
    assert isinstance(config.of("visit", Visit).lr, float)
    assert config.of("", Run).clients == ("GE", "b")


@pytest.mark.parametrize("root", ["007", "1e3", "true", "a=b", "2024"])
def test_a_text_that_looks_like_a_number_stays_as_it_was_written(root: str) -> None:
    assert filled(f"data.root={root}").of("data", Data).root == root


@pytest.mark.parametrize("override", ["rounds", "=3", "visit.lr=[1,"])
def test_an_override_that_is_none_is_refused(override: str) -> None:
    with pytest.raises(ValueError, match="Override"):
        filled(override)


@pytest.mark.parametrize("content", [b"a: [1", b"- 1\n", b"\xff\xfe\x00"])
def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.yaml"):
        filled(file=file)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.yaml does not exist"):
        filled(file=tmp_path / "nowhere.yaml")
    with pytest.raises(ValueError, match="cannot be read"):
        filled(file=tmp_path)


def test_an_interpolation_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="Interpolation key 'nowhere' not found"):
        filled("visit.lr=${nowhere}")


def test_a_written_configuration_is_read_back_without_what_was_said_about_the_run(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    config = filled("visit.lr=3e-4", "clients=[a,b]", "data.root=007")
    write(file, config, {"commit": "abc", "versions": {"torch": "2"}})
    assert about(file) == {"commit": "abc", "versions": {"torch": "2"}}
    assert fill(gather(file, {}, []), SCHEMA) == config


@pytest.mark.parametrize("content", ["rounds: 3\n", "about: 3\n", "- 1\n", "a: [1"])
def test_a_file_that_no_run_has_written_says_nothing_about_one(tmp_path: Path, content: str) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"other\.yaml"):
        about(file)


def test_a_digest_hears_every_knob_but_those_left_out() -> None:
    one, two = filled("rounds=3"), filled("rounds=4")
    assert one.digest() != two.digest()
    assert one.digest(["rounds"]) == two.digest(["rounds"])
