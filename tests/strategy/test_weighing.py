"""How loud each client is."""

import pytest

from fedcmr.messages import Update
from fedcmr.strategy.weighing import by_cases


def test_patients_count_equally_wherever_they_are() -> None:
    updates = [Update("GE", 1, {}, cases=1), Update("Siemens", 1, {}, cases=3)]
    assert by_cases(updates, []) == [0.25, 0.75]


def test_weights_sum_to_one() -> None:
    weights = by_cases([Update(name, 1, {}, cases=cases) for name, cases in zip("abc", (3, 7, 11), strict=True)], [])
    assert sum(weights) == pytest.approx(1.0)


def test_an_update_of_no_case_and_no_update_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="GE hands over an update of 0 cases"):
        by_cases([Update("GE", 1, {}, cases=0)], [])
    with pytest.raises(ValueError, match="No update to weigh"):
        by_cases([], [])
