"""Servers that one bad client cannot steer: by hand, beside references, and whatever a bad client sends."""

import itertools
import math
import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_clients import CASES, Made, initial, method
from scipy.optimize import minimize
from scipy.stats import trim_mean
from torch import Tensor
from torch.testing import assert_close

from fedcmr.messages import Server, Update
from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.robust import (
    ClippedMean,
    Defence,
    GeometricMedian,
    Krum,
    Median,
    TooFewUpdatesError,
    TrimmedMean,
)
from fedcmr.strategy.strategy import Strategy
from fedcmr.strategy.vectors import joined, parted
from fedcmr.strategy.weighing import by_cases, equally

A, B, HEAD = "q.branches.global.A", "q.branches.global.B", "head.cls.bias"
DEFENCES = (Median(), TrimmedMean(0.2), ClippedMean(0), ClippedMean(0.5), GeometricMedian(), Krum())
each_defence = pytest.mark.parametrize("defence", DEFENCES, ids=str)

BITS = {"rtol": 0.0, "atol": 0.0}
HONEST = st.lists(st.floats(-10, 10, width=32), min_size=4, max_size=4)
ANYTHING = st.floats(-(2.0**120), 2.0**120, width=32)


def updates_of(values: Sequence[Sequence[float]], cases: Sequence[int] = ()) -> list[Update]:
    """One client for each of these vectors, "a", "b", …"""
    return [
        Update(chr(ord("a") + place), 1, {HEAD: torch.tensor(value)}, cases[place] if cases else 1)
        for place, value in enumerate(values)
    ]


def combined(defence: Defence, updates: Sequence[Update], sent: Sequence[float] = ()) -> Tensor:
    """What is sent next under the one name, weights by cases."""
    start = torch.tensor(sent) if sent else torch.zeros_like(updates[0].tensors[HEAD])
    tensors, memory = defence(updates, by_cases(updates, []), Server(0, {HEAD: start}))
    assert not memory
    return tensors[HEAD]


def drawn(draw: int, clients: int = 5) -> list[Update]:
    """Updates of a factor pair and a head, with numbers of cases; a function of (draw, clients)."""
    generator = torch.Generator().manual_seed(draw)

    def tensors() -> dict[str, Tensor]:
        shapes = {A: (2, 5), B: (3, 2), HEAD: (2,)}
        return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}

    return [Update(f"client{place}", 1, tensors(), 3 + 2 * place) for place in range(clients)]


def server_of(updates: Sequence[Update]) -> Server:
    return Server(0, {name: torch.full_like(tensor, 0.1) for name, tensor in updates[0].tensors.items()})


def test_the_median_is_the_value_in_the_middle_of_each_entry() -> None:
    found = combined(Median(), updates_of([[1.0, 9.0], [5.0, 2.0], [100.0, 3.0]]))
    assert found.tolist() == [5.0, 3.0]


def test_of_an_even_number_the_median_is_the_mean_of_the_middle_two() -> None:
    assert combined(Median(), updates_of([[1.0], [2.0], [4.0], [100.0]])).tolist() == [3.0]


def test_the_trimmed_mean_leaves_out_the_ends_of_each_entry() -> None:
    # of 0, 1, 2, 3, 100 the ends go; of 7, 1, 1, 1, 2 the 7 and one 1
    updates = updates_of([[100.0, 7.0], [3.0, 1.0], [0.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
    assert_close(combined(TrimmedMean(0.2), updates), torch.tensor([2.0, 4 / 3]))


def test_the_clipped_mean_shortens_changes_and_keeps_their_directions() -> None:
    # sent (1, 1); changes (3, 4) of length 5 and (0, 1) of length 1; with c = 2: (1.2, 1.6) and (0, 1)
    updates = updates_of([[4.0, 5.0], [1.0, 2.0]], cases=[1, 3])
    found = combined(ClippedMean(2.0), updates, sent=[1.0, 1.0])
    assert_close(found, torch.tensor([1 + 1.2 / 4, 1 + 1.6 / 4 + 3 / 4]))


def test_without_a_bound_changes_are_clipped_to_the_median_of_their_lengths() -> None:
    # lengths 1, 2, 30: the last becomes 2
    assert_close(combined(ClippedMean(0), updates_of([[1.0], [2.0], [30.0]])), torch.tensor([5 / 3]))


def test_where_most_changed_nothing_the_median_of_lengths_lets_nothing_change() -> None:
    assert combined(ClippedMean(0), updates_of([[1.0], [1.0], [30.0]]), sent=[1.0]).tolist() == [1.0]


def test_a_bound_holds_over_all_tensors_together() -> None:
    tensors = {B: torch.tensor([[3.0]]), HEAD: torch.tensor([4.0])}
    sent, _ = ClippedMean(1.0)(
        [Update("a", 1, tensors, 1)], [1.0], Server(0, {B: torch.zeros(1, 1), HEAD: torch.zeros(1)})
    )
    assert_close(sent, {B: torch.tensor([[0.6]]), HEAD: torch.tensor([0.8])})


def test_a_flipped_sign_is_as_long_as_the_change_it_flips() -> None:
    # what clipping cannot do: four times +1 and once −1 stay as they are
    assert_close(combined(ClippedMean(0), updates_of([[1.0]] * 4 + [[-1.0]])), torch.tensor([0.6]))


def test_the_geometric_median_of_a_line_is_its_median_and_of_a_square_its_middle() -> None:
    assert_close(combined(GeometricMedian(), updates_of([[0.0], [1.0], [50.0]])), torch.tensor([1.0]))
    square = [[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]
    assert_close(combined(GeometricMedian(), updates_of(square)), torch.zeros(2), rtol=0, atol=1e-6)


def test_the_geometric_median_goes_by_weight_and_to_whom_has_more_than_half() -> None:
    corners = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert_close(combined(GeometricMedian(), updates_of(corners, [1, 1, 3])), torch.tensor([0.0, 1.0]))
    assert 0.1 < float(combined(GeometricMedian(), updates_of(corners))[1]) < 0.3


def test_krum_takes_the_client_with_the_nearest_neighbours_as_it_is() -> None:
    # 5 clients, f = 1: the sum of squares to the two nearest is 5, 2, 5, 25, … for 0, 1, 2, 5, 1000
    updates = updates_of([[1000.0], [2.0], [0.0], [5.0], [1.0]])
    assert combined(Krum(), updates).tolist() == [1.0]


def test_krum_takes_the_first_of_equals_by_name() -> None:
    updates = list(reversed(updates_of([[0.0], [0.0], [0.0], [1.0], [1.0]])))
    sent, _ = Krum()(updates, [0.2] * 5, Server(0, {}))
    assert sent[HEAD] is updates[-1].tensors[HEAD]


@pytest.mark.parametrize(("clients", "trim"), [(5, 0.0), (5, 0.2), (7, 0.3), (10, 0.25), (11, 0.45)])
def test_entry_by_entry_defences_agree_with_numpy_and_scipy(clients: int, trim: float) -> None:
    updates = drawn(clients, clients)
    weights = by_cases(updates, [])
    middle, _ = Median()(updates, weights, server_of(updates))
    trimmed, _ = TrimmedMean(trim)(updates, weights, server_of(updates))
    for name in (A, B, HEAD):
        values = np.stack([update.tensors[name].double().numpy() for update in updates])
        assert_close(middle[name].double(), torch.from_numpy(np.median(values, axis=0)))
        assert_close(trimmed[name].double(), torch.from_numpy(trim_mean(values, trim, axis=0)))


@pytest.mark.parametrize("draw", range(4))
def test_the_geometric_median_is_what_a_minimiser_finds(draw: int) -> None:
    updates = drawn(draw)
    weights = by_cases(updates, [])
    vectors = [joined(update.tensors).numpy() for update in updates]

    def way(point: np.ndarray) -> float:
        return sum(weight * float(np.linalg.norm(point - own)) for weight, own in zip(weights, vectors, strict=True))

    reference = minimize(way, np.mean(vectors, axis=0), method="BFGS", options={"gtol": 1e-9})
    found = joined(GeometricMedian()(updates, weights, server_of(updates))[0]).numpy()
    assert way(found) <= reference.fun + 1e-6
    assert np.allclose(found, reference.x, atol=1e-3)


@pytest.mark.parametrize("draw", range(4))
def test_krum_is_what_a_plain_count_of_distances_gives(draw: int) -> None:
    updates, bad = drawn(draw, clients=8), 2
    vectors = np.stack([joined(update.tensors).numpy() for update in updates])
    squares = ((vectors[:, None] - vectors[None]) ** 2).sum(-1)
    scores = [np.sort(np.delete(row, place))[: 8 - bad - 2].sum() for place, row in enumerate(squares)]
    sent, _ = Krum(bad)(updates, by_cases(updates, []), server_of(updates))
    assert_close(sent, updates[int(np.argmin(scores))].tensors, **BITS)


def test_with_nothing_to_do_a_defence_is_the_mean() -> None:
    updates = drawn(0)
    server = server_of(updates)
    by_patients, by_clients = by_cases(updates, []), equally(updates, [])
    assert_close(
        ClippedMean(math.inf)(updates, by_patients, server)[0], weighted_mean(updates, by_patients, server)[0], **BITS
    )
    assert_close(TrimmedMean(0.0)(updates, by_patients, server)[0], weighted_mean(updates, by_clients, server)[0])


@each_defence
def test_what_all_clients_agree_on_is_what_they_get(defence: Defence) -> None:
    updates = [replace(update, tensors={HEAD: torch.tensor([0.3, -0.1])}) for update in drawn(0)]
    start = Server(0, {HEAD: torch.tensor([0.2, -0.2])})
    sent, _ = defence(updates, by_cases(updates, []), start)
    assert_close(sent[HEAD], torch.tensor([0.3, -0.1]))


@each_defence
def test_the_order_of_arrival_changes_no_bit(defence: Defence) -> None:
    updates = drawn(1)
    server = server_of(updates)
    first, *others = [defence(own, by_cases(own, []), server)[0] for own in itertools.permutations(updates)]
    for other in others:
        assert_close(other, first, **BITS)


@each_defence
def test_what_is_sent_has_the_names_shapes_and_types_of_the_updates(defence: Defence) -> None:
    typed = [
        replace(
            update,
            tensors={name: tensor.bfloat16() if name == A else tensor for name, tensor in update.tensors.items()},
        )
        for update in drawn(2)
    ]
    sent, _ = defence(typed, by_cases(typed, []), server_of(typed))
    like = typed[0].tensors
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in sent.items()} == {
        name: (tensor.shape, tensor.dtype) for name, tensor in like.items()
    }


@pytest.mark.parametrize("defence", [defence for defence in DEFENCES if not defence.weighs], ids=str)
def test_a_claim_of_many_cases_is_not_heard(defence: Defence) -> None:
    updates = drawn(3)
    boasting = [replace(updates[0], cases=10**6), *updates[1:]]
    server = server_of(updates)
    sent, claimed = (defence(own, by_cases(own, []), server)[0] for own in (updates, boasting))
    assert_close(claimed, sent, **BITS)


@given(HONEST, ANYTHING)
def test_the_median_and_the_trimmed_mean_stay_among_the_honest_whatever_one_of_five_sends(
    honest: list[float], bad: float
) -> None:
    updates = updates_of([[value] for value in [*honest, bad]])
    for defence in (Median(), TrimmedMean(0.2)):
        assert min(honest) <= float(combined(defence, updates)) <= max(honest)


@given(HONEST, st.floats(11, 2.0**120, width=32))
def test_how_far_off_one_of_five_is_does_not_matter_to_the_median(honest: list[float], bad: float) -> None:
    near, far = (combined(Median(), updates_of([[value] for value in [*honest, sent]])) for sent in (11.0, bad))
    assert near.tolist() == far.tolist()


@given(HONEST, HONEST, ANYTHING, ANYTHING)
def test_krum_takes_one_of_the_honest_where_the_bad_one_lies_apart(
    xs: list[float], ys: list[float], x: float, y: float
) -> None:
    honest = [[one, two] for one, two in zip(xs, ys, strict=True)]
    far = [x + math.copysign(100, x), y]
    assert combined(Krum(), updates_of([far, *honest])).tolist() in torch.tensor(honest).tolist()


@given(HONEST, HONEST, ANYTHING, ANYTHING)
def test_the_geometric_median_stays_near_the_honest_whatever_one_of_five_sends(
    xs: list[float], ys: list[float], x: float, y: float
) -> None:
    # a share α of bad weight moves it by at most 2 (1 − α) / (1 − 2 α) radii of the honest: 8/3 for α = 1/5
    honest = torch.tensor([xs, ys]).T.double()
    found = combined(GeometricMedian(), updates_of([[x, y], *honest.tolist()])).double()
    middle = honest.mean(dim=0)
    radius = float((honest - middle).norm(dim=1).max())
    assert float((found - middle).norm()) <= 8 / 3 * radius + 1e-3


def test_the_geometric_median_breaks_down_where_the_bad_hold_more_than_half() -> None:
    far = updates_of([[1e6], [1e6], [1e6], [0.0], [1.0]])
    assert combined(GeometricMedian(), far).tolist() == [1e6]
    claimed = updates_of([[1e6], [0.0], [0.5], [1.0], [1.0]], cases=[100, 1, 1, 1, 1])
    assert combined(GeometricMedian(), claimed).tolist() == [1e6]


@given(HONEST, ANYTHING)
def test_a_clipped_client_moves_the_mean_by_no_more_than_its_share_of_the_bound(
    honest: list[float], bad: float
) -> None:
    with_bad = combined(ClippedMean(0.5), updates_of([[value] for value in [*honest, bad]]))
    without = combined(ClippedMean(0.5), updates_of([[value] for value in [*honest, 0.0]]))
    assert abs(float(with_bad - without)) <= 0.5 / 5 + 1e-6


def test_a_pair_of_factors_is_judged_by_its_factors_and_not_by_its_product() -> None:
    # the fifth client has the product of the others, B A = 2, by other factors: Krum's neighbours are the four
    pair = {B: torch.tensor([[1.0]]), A: torch.tensor([[2.0]])}
    turned = {B: torch.tensor([[2.0]]), A: torch.tensor([[1.0]])}
    updates = [Update(name, 1, own, 1) for name, own in zip("abcde", [pair] * 4 + [turned], strict=True)]
    middle, _ = Median()(updates, [0.2] * 5, Server(0, {}))
    assert_close(middle, pair)
    trimmed, _ = TrimmedMean(0.0)(updates, [0.2] * 5, Server(0, {}))
    assert float(trimmed[B] * trimmed[A]) == pytest.approx(1.2 * 1.8), "all five products are 2"


@pytest.mark.parametrize(
    ("defence", "fewest"),
    [
        (Median(), 3),
        (TrimmedMean(0.2), 5),
        (TrimmedMean(0.25), 4),
        (TrimmedMean(0.0), 1),
        (ClippedMean(0), 3),
        (ClippedMean(1.0), 1),
        (GeometricMedian(), 3),
        (Krum(), 5),
        (Krum(2), 7),
    ],
    ids=str,
)
def test_too_few_clients_to_tell_who_is_bad_are_refused(defence: Defence, fewest: int) -> None:
    assert defence.fewest == fewest
    enough = drawn(0, fewest)
    defence(enough, by_cases(enough, []), server_of(enough))
    if fewest > 1:
        few = enough[1:]
        with pytest.raises(TooFewUpdatesError, match=rf"of {fewest - 1} updates: expected at least {fewest}"):
            defence(few, by_cases(few, []), server_of(few))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: TrimmedMean(0.5), "server.trim=0.5: expected a share in"),
        (lambda: TrimmedMean(-0.1), "server.trim=-0.1"),
        (lambda: ClippedMean(-1.0), "server.clip=-1: expected a norm above 0"),
        (lambda: ClippedMean(math.nan), "server.clip=nan"),
        (lambda: GeometricMedian(0.0), "expected a smoothing above 0"),
        (lambda: Krum(0), "server.bad=0: expected at least 1"),
    ],
)
def test_knobs_out_of_their_range_are_refused(wrong: object, message: str) -> None:
    assert callable(wrong)
    with pytest.raises(ValueError, match=message):
        wrong()


@each_defence
def test_a_defence_pickles_compares_and_prints_what_it_is(defence: Defence) -> None:
    strategy = Strategy(combine=defence)
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    assert strategy != Strategy()
    assert "0x" not in str(strategy)


def test_what_a_defence_prints() -> None:
    assert [str(Strategy(combine=defence)) for defence in DEFENCES] == [
        "Strategy(combine=Median())",
        "Strategy(combine=TrimmedMean(trim=0.2))",
        "Strategy(combine=ClippedMean(bound=0))",
        "Strategy(combine=ClippedMean(bound=0.5))",
        "Strategy(combine=GeometricMedian())",
        "Strategy(combine=Krum())",
    ]


@each_defence
def test_all_clients_of_med_dual_lora_get_the_same_shared_part_from_a_defence(defence: Defence) -> None:
    plain = method("med_dual_lora", "shared")
    clients = {**CASES, "vendorE": 4}
    made = Made(replace(plain, strategy=replace(plain.strategy, combine=defence), cases=clients))
    server = made.round(made.round(initial(made.method)))
    first, *others = [made.shared_at(client, server) for client in clients]
    for other in others:
        assert_close(other, first, **BITS)


def test_vectors_come_apart_as_they_were_joined() -> None:
    tensors = {B: torch.randn(3, 2), A: torch.randn(2, 5), HEAD: torch.randn(2).bfloat16()}
    assert_close(parted(joined(tensors), tensors), tensors, **BITS)
    assert joined({}).numel() == 0
