"""Who takes part in a round."""

import pytest

from fedcmr.knobs import RunKnobs
from fedcmr.strategy.participating import Drawn, everyone

CLIENTS = [f"vendor{letter}" for letter in "ABCDEFGHIJ"]


def test_everyone_takes_part_where_nothing_is_said() -> None:
    assert everyone(CLIENTS, 1) == Drawn(1.0, 1, 0)(CLIENTS, 1) == CLIENTS


@pytest.mark.parametrize(
    ("share", "min_clients", "count"), [(0.5, 1, 5), (0.25, 1, 3), (0.01, 1, 1), (0.1, 4, 4), (1.0, 1, 10)]
)
def test_so_many_take_part(share: float, min_clients: int, count: int) -> None:
    drawn = Drawn(share, min_clients, 0)(CLIENTS, 1)
    assert len(drawn) == len(set(drawn)) == count
    assert list(drawn) == sorted(drawn)


def test_who_is_drawn_is_a_function_of_seed_and_round_alone() -> None:
    draw = Drawn(0.5, 1, 3)
    assert draw(CLIENTS[::-1], 7) == draw(CLIENTS, 7)
    assert len({tuple(draw(CLIENTS, round)) for round in range(1, 20)}) > 10
    assert [Drawn(0.5, 1, 4)(CLIENTS, round) for round in range(1, 5)] != [
        draw(CLIENTS, round) for round in range(1, 5)
    ]


def test_each_client_is_drawn_as_often_as_its_share() -> None:
    # 400 rounds of a half: 200 each, standard deviation 10; five of them on either side
    draw, rounds = Drawn(0.5, 1, 0), 400
    counts = {client: sum(client in draw(CLIENTS, round) for round in range(rounds)) for client in CLIENTS}
    assert all(150 < count < 250 for count in counts.values()), counts


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="participation="):
        RunKnobs(participation=share)
