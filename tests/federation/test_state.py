"""What a run needs to go on: rounds taken up from the disk are the rounds of one go, private tensors included."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from made_clients import method
from made_federation import engine, federation
from torch.testing import assert_close

from fedcmr.engines.in_process import InProcess
from fedcmr.federation.rounds import Closed, rounds
from fedcmr.federation.state import DamagedError, State
from fedcmr.messages import Round, Server

DUAL = method("med_dual_lora", "shared")
BITS = {"rtol": 0.0, "atol": 0.0}


def run(made: InProcess, count: int, server: Server, past: list[Round]) -> list[Closed]:
    events = rounds(DUAL.strategy, made, count, server, past, fold=0)
    return [event for event in events if isinstance(event, Closed)]


def test_a_run_taken_up_from_the_disk_has_the_bits_of_one_in_one_go(tmp_path: Path) -> None:
    whole = engine(federation(DUAL))
    expected = run(whole, 3, whole.initial(), [])
    begun, continued = engine(federation(DUAL)), engine(federation(DUAL))
    (first,) = run(begun, 1, begun.initial(), [])
    State(tmp_path, 0).save(begun, first.server, chosen=1)
    server = State(tmp_path, 0).load(continued, 1)
    rest = run(continued, 3, server, [first.round])
    assert [event.round for event in rest] == [event.round for event in expected[1:]]
    assert_close(rest[-1].server.sent, expected[-1].server.sent, **BITS)
    for client in whole.clients:
        assert_close(dict(continued.kept[client]), dict(whole.kept[client]), **BITS)


def test_the_newest_round_and_the_chosen_one_are_kept(tmp_path: Path) -> None:
    made, state = engine(federation(DUAL)), State(tmp_path, 0)
    for number, chosen in ((1, 1), (2, 1), (3, 1), (4, 3)):
        state.save(made, Server(number, {}), chosen)
    # round 3 was chosen after it had been the newest, so it was still there
    assert state.rounds() == [3, 4]
    state.save(made, Server(5, {}), chosen=2)
    assert state.rounds() == [4, 5], "the one before the newest, to go back to"
    assert State(tmp_path, 1).rounds() == []


def test_the_memory_of_the_server_comes_back_beside_what_it_sends(tmp_path: Path) -> None:
    made, state = engine(federation(DUAL)), State(tmp_path, 2)
    server = Server(7, {"head.cls.bias": torch.ones(2)}, {"head.cls.bias": torch.zeros(2)})
    state.save(made, server, chosen=7)
    again = state.load(made, 7)
    assert again.round == 7
    assert_close(dict(again.sent), dict(server.sent), **BITS)
    assert_close(dict(again.memory), dict(server.memory), **BITS)


def test_what_each_client_kept_can_be_read_without_an_engine(tmp_path: Path) -> None:
    made, state = engine(federation(DUAL)), State(tmp_path, 0)
    (first,) = run(made, 1, made.initial(), [])
    state.save(made, first.server, chosen=1)
    kept = state.kept(1)
    assert kept.keys() == set(made.clients)
    for client in made.clients:
        assert_close(dict(kept[client]), dict(made.kept[client]), **BITS)


def test_a_round_that_was_not_finished_writing_is_no_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(folder: Path) -> None:
        raise OSError("No space left on device")

    made, state = engine(federation(DUAL)), State(tmp_path, 0)
    state.save(made, Server(1, {}), chosen=1)
    monkeypatch.setattr(made, "save", full)
    with pytest.raises(OSError, match="No space left"):
        state.save(made, Server(2, {}), chosen=1)
    assert state.rounds() == [1]


def test_what_a_killed_run_left_of_a_round_is_cleared_away(tmp_path: Path) -> None:
    made, state = engine(federation(DUAL)), State(tmp_path, 0)
    (tmp_path / "state" / "fold0" / ".round1.4242").mkdir(parents=True)
    state.save(made, Server(1, {}), chosen=1)
    assert [path.name for path in (tmp_path / "state" / "fold0").iterdir()] == ["round1"]


def test_a_damaged_round_is_named(tmp_path: Path) -> None:
    made, state = engine(federation(DUAL)), State(tmp_path, 0)
    state.save(made, Server(1, {}), chosen=1)
    (tmp_path / "state" / "fold0" / "round1" / f"{made.clients[0]}.safetensors").write_text("junk")
    with pytest.raises(DamagedError, match=r"round1 is damaged .*: other bytes than were written"):
        state.load(made, 1)


def flip(file: Path) -> None:
    """One bit of the last byte: a number, so the file still reads."""
    held = bytearray(file.read_bytes())
    held[-1] ^= 1
    file.write_bytes(bytes(held))


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda file: (file.parent / "hashes.json").unlink()])
def test_from_a_damaged_newest_round_the_one_before_is_gone_back_to(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    made, state, said = engine(federation(DUAL)), State(tmp_path, 0), list[str]()
    assert state.newest(made, said.append) is None
    for number in (1, 2):
        state.save(made, Server(number, {"head.cls.bias": torch.full((2,), float(number))}), chosen=2)
    whole = state.newest(made, said.append)
    assert whole is not None
    assert (whole.round, said) == (2, [])
    damage(tmp_path / "state" / "fold0" / "round2" / "server.safetensors")
    before = state.newest(made, said.append)
    assert before is not None
    assert before.round == 1
    assert_close(before.sent["head.cls.bias"], torch.ones(2), **BITS)
    (line,) = said
    assert "round2 is damaged" in line
    assert "The round before it is gone back to" in line
    damage(tmp_path / "state" / "fold0" / "round1" / "server.safetensors")
    with pytest.raises(DamagedError, match="no saved round is whole"):
        state.newest(made, said.append)


def test_a_round_that_is_not_there_cannot_be_gone_back_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="round 9 cannot be gone back to"):
        State(tmp_path, 0).load(engine(federation(DUAL)), 9)
