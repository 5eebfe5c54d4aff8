"""Law 10: engines agree. One process, and two worker processes that each build the parts anew, give equal bits."""

from pathlib import Path

import pytest
import torch
from made_data import make_acdc

from fedcmr import catalogue
from fedcmr.arguments import configure
from fedcmr.engines.in_process import InProcess
from fedcmr.federation.rounds import Closed, rounds
from fedcmr.parts import Recipe, parts_of


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_acdc(tmp_path_factory.mktemp("acdc"), ("NOR", "DCM") * 10)


def run(root: Path, algorithm: str, workers: int) -> tuple[list[Closed], InProcess]:
    # made hearts are alike, and would be taken for studies of one patient
    knobs = [f"data.root={root}", "data.sites=2", "data.split=vendor", "data.twins=no", "visit.lr=0.01"]
    parts = parts_of(Recipe(configure(["data=acdc", f"algorithm={algorithm}", *knobs])))
    with InProcess(parts, workers) as engine:
        assert (engine.workers is not None) == (workers > 1 and not parts.strategy.pool)
        events = list(rounds(parts.strategy, engine, 2, engine.initial(), [], fold=0))
    return [event for event in events if isinstance(event, Closed)], engine


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", catalogue.names("algorithms"))
def test_two_worker_processes_give_the_bits_of_one(root: Path, algorithm: str) -> None:
    (one, engine_one), (two, engine_two) = run(root, algorithm, 1), run(root, algorithm, 2)
    assert [event.round for event in one] == [event.round for event in two]
    kept = zip(engine_one.kept.values(), engine_two.kept.values(), strict=True)
    for first, second in ((one[-1].server.sent, two[-1].server.sent), *kept):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
