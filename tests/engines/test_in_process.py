"""The engine of this machine: a client's private tensors stay where it put them, and workers change no number."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from made_clients import method
from made_federation import engine, federation
from torch import Tensor
from torch.testing import assert_close

from fedcmr.data.cases import Case
from fedcmr.engines.in_process import InProcess, Knobs
from fedcmr.federation.client import Handover
from fedcmr.federation.door import LeakError
from fedcmr.federation.failing import Failed
from fedcmr.messages import Server

DUAL = method("med_dual_lora", "shared")


def test_fewer_than_one_worker_is_refused() -> None:
    with pytest.raises(ValueError, match=r"engine\.workers=0: expected at least 1"):
        Knobs(workers=0)


def test_before_the_first_round_only_shared_tensors_are_sent() -> None:
    made = engine(federation(DUAL))
    roles = DUAL.strategy.roles(made.names, 1)
    assert {roles[name].value for name in made.initial().sent} == {"shared"}
    assert set(made.sent_bytes(made.initial())) == set(made.clients)


def test_what_a_client_keeps_comes_back_bit_by_bit(tmp_path: Path) -> None:
    made, other = engine(federation(DUAL)), engine(federation(DUAL))
    list(made.train(made.initial(), made.clients))
    made.save(tmp_path)
    other.load(tmp_path)
    for client in made.clients:
        assert_close(dict(other.kept[client]), dict(made.kept[client]), rtol=0.0, atol=0.0)


def test_each_client_is_scored_in_both_views() -> None:
    made = engine(federation(DUAL))
    predictions = made.evaluate(Server(1, made.initial().sent), "val").predictions
    assert {(one.client, one.view) for one in predictions} == {
        (client, view) for client in made.clients for view in ("personal", "global")
    }


def failing(error: BaseException, part: str = "train") -> InProcess:
    """An engine at whose second client a part's images cannot be read."""

    def fetch(case: Case, view: int) -> Mapping[str, Tensor]:
        raise error

    made = engine(federation(DUAL))
    made.federation.clients["vendorC"].sets[part].fetch = fetch
    return made


@pytest.mark.parametrize(
    "error", [OSError("no such  file\nhere"), MemoryError(), KeyError("sax"), AssertionError("no")]
)
def test_what_a_client_raises_is_its_own_failure(error: Exception) -> None:
    made = failing(error)
    handover, failed = made.train(made.initial(), made.clients)
    assert isinstance(handover, Handover)
    assert isinstance(failed, Failed)
    assert failed.client == "vendorC"
    assert failed.cause == f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
    assert "in fetch" in failed.trace
    assert made.kept["vendorC"] == {}
    assert made.kept["vendorA"] != {}


def test_after_a_failure_the_next_visit_has_the_bits_of_one_without_it() -> None:
    broken, whole = failing(OSError("gone")), engine(federation(DUAL))
    fetch = whole.federation.clients["vendorC"].sets["train"].fetch
    list(broken.train(broken.initial(), broken.clients))
    broken.federation.clients["vendorC"].sets["train"].fetch = fetch
    again, first = (list(made.train(made.initial(), ("vendorC",))) for made in (broken, whole))
    assert isinstance(again[0], Handover)
    assert isinstance(first[0], Handover)
    assert again[0].payload == first[0].payload


def test_a_client_that_cannot_be_scored_leaves_the_others_scores_alone() -> None:
    broken, whole = failing(OSError("gone"), "val"), engine(federation(DUAL))
    server = Server(1, whole.initial().sent)
    scored, expected = broken.evaluate(server, "val"), whole.evaluate(server, "val")
    assert [(one.client, one.cause) for one in scored.failed] == [("vendorC", "OSError: gone")]
    assert scored.scores == {"vendorA": expected.scores["vendorA"]}
    assert {one.client for one in scored.predictions} == {"vendorA"}
    said = whole.evaluate(server, "val", [Failed("vendorC", "OSError: gone")])
    assert (said.scores, said.overall, said.predictions) == (scored.scores, scored.overall, scored.predictions)


def test_a_visit_that_takes_too_long_is_given_up() -> None:
    made = InProcess.__new__(InProcess)
    made.__dict__ |= engine(federation(DUAL)).__dict__
    made.federation = replace(made.federation, timeout=1e-9)
    causes = [answer.cause for answer in made.train(made.initial(), made.clients) if isinstance(answer, Failed)]
    assert causes == ["took longer than visit_timeout=1e-09 s"] * 2


def test_an_absent_client_is_not_visited() -> None:
    made = engine(federation(DUAL))
    (only,) = made.train(made.initial(), made.clients, {"vendorA"})
    assert only.client == "vendorC"


def test_a_leak_is_nobodys_failure_and_ends_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(*_: object) -> Callable[[], None]:
        raise LeakError("a private tensor")

    monkeypatch.setattr("fedcmr.federation.client.hand_over", leak)
    made = engine(federation(DUAL))
    with pytest.raises(LeakError):
        list(made.train(made.initial(), made.clients))
