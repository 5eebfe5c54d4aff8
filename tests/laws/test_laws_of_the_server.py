"""Laws 1 to 4, 9 and 12: what combining the updates of made clients may and may not do to the shared part W."""

import itertools
from dataclasses import replace

from made_clients import (
    Made,
    Method,
    all_alike,
    close,
    initial,
    install,
    law,
    product,
    shared,
    shared_branches,
    weighted_sum,
)
from torch.testing import assert_close

CLOSE = {"rtol": 1e-5, "atol": 1e-6}
"""Means are rounded to float32 when they are sent."""

BITS = {"rtol": 0.0, "atol": 0.0}


@law("order")
def test_the_order_in_which_updates_arrive_changes_no_bit(method: Method) -> None:
    """Law 1. Needs: nothing."""
    made = Made(method)
    server = made.round(initial(method))
    updates = [visited.update for visited in made.visits(server)]
    first, *others = [close(method, arrived, server) for arrived in itertools.permutations(updates)]
    for other in others:
        assert_close(other.sent, first.sent, **BITS)
        assert_close(other.memory, first.memory, **BITS)


@law("scale")
def test_only_the_shares_of_the_patients_matter(method: Method) -> None:
    """Law 2. Needs: weights by cases.

    Ten times all case counts change no bit, and so does, to rounding, splitting a client into two of half the size.
    """
    server = initial(method)
    even = [replace(visited.update, cases=2 * visited.update.cases) for visited in Made(method).visits(server)]
    whole, *rest = even
    expected = close(method, even, server)
    grown = close(method, [replace(update, cases=10 * update.cases) for update in even], server)
    assert_close(grown.sent, expected.sent, **BITS)
    halves = [replace(whole, client=f"{whole.client}{half}", cases=whole.cases // 2) for half in "12"]
    split = close(method, [*halves, *rest], server)
    for after in (grown, split):
        met, wanted = (shared(method, install(method, whole.client, each, {}), 2) for each in (after, expected))
        assert_close(met, wanted, **CLOSE)


@law("consensus")
def test_what_all_clients_agree_on_is_what_they_get(method: Method) -> None:
    """Law 3. Needs: a server that takes the mean."""
    made = Made(method, all_alike)
    server = initial(method)
    visits = made.visits(server)
    after = close(method, [visited.update for visited in visits], server)
    for visited in visits:
        assert_close(made.shared_at(visited.update.client, after), shared(method, visited.model, 1), **CLOSE)


@law("alone")
def test_a_client_alone_gets_back_what_it_sent(method: Method) -> None:
    """Law 4. Needs: nothing."""
    for client in method.cases:
        made = Made(method)
        server = made.round(initial(method), [client])
        (visited,) = made.visits(server, [client])
        after = close(method, [visited.update], server)
        assert_close(made.shared_at(client, after), shared(method, visited.model, 2), **CLOSE)


@law("exactness")
def test_the_mean_of_the_products_is_the_product_that_is_installed(method: Method) -> None:
    """Law 9: Σ_k p_k s_k B_k A_k = W. Needs: an exact server. Without shared branches both sides are empty sums."""
    made = Made(method)
    server = made.round(initial(method))
    visits = made.visits(server)
    updates = [visited.update for visited in visits]
    branches = shared_branches(method, 2)
    weights = method.strategy.weigh(updates, [])
    expected = weighted_sum([product(method, visited.model, branches) for visited in visits], weights)
    after = close(method, updates, server)
    for client in method.cases:
        installed = install(method, client, after, made.kept[client])
        assert_close(product(method, installed, branches), expected, **CLOSE)


@law("return")
def test_a_client_that_missed_a_round_comes_back_to_the_same_shared_part(method: Method) -> None:
    """Law 12. Needs: nothing."""
    made = Made(method)
    first, *others = method.cases
    server = made.round(initial(method))
    server = made.round(server, others)
    server = made.round(server, others or [first])
    there, back = made.shared_at((others or [first])[0], server), made.shared_at(first, server)
    assert_close(back, there, **BITS)
