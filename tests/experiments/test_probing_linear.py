"""The linear probe on made numbers."""

import numpy as np
from probing.linear import STRENGTHS, probe


def made(count: int, strength: float, share: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Twelve columns, the first of which tells the class."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) < share * count).astype(int)
    numbers = random.normal(size=(count, 12))
    numbers[:, 0] += strength * labels
    return numbers, labels


def names(count: int) -> list[str]:
    return [f"p{i}" for i in range(count)]


def test_what_tells_the_class_is_found():
    train, labels = made(80, 3.0)
    test, truth = made(200, 3.0, seed=1)
    assert (probe(train, labels, names(80)).predict(test) == truth).mean() > 0.85


def test_the_threshold_is_half_where_one_class_is_rare():
    train, labels = made(200, 2.5, share=0.15)
    test, truth = made(400, 2.5, seed=1)
    called = probe(train, labels, names(200)).predict_proba(test)[:, 1] >= 0.5
    # an unbalanced probe would miss most of the rare class
    assert called[truth == 1].mean() > 0.75
    assert called[truth == 0].mean() < 0.25


def test_noise_is_held_down_by_the_strongest_penalty():
    train, labels = made(40, 0.0)
    fitted = probe(train, labels, names(40))
    assert min(STRENGTHS) == fitted[-1].C


def test_units_do_not_matter():
    train, labels = made(60, 1.0)
    units = 10.0 ** np.arange(12)
    told = probe(train, labels, names(60)).predict_proba(train)
    assert np.allclose(told, probe(train * units, labels, names(60)).predict_proba(train * units), atol=1e-3)


def test_several_classes_are_told_apart():
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    numbers = random.normal(size=(90, 5))
    numbers[np.arange(90), labels] += 5
    assert (probe(numbers, labels, names(90)).predict(numbers) == labels).mean() > 0.95
