from collections.abc import Iterator

import pytest
import torch

from fedcmr.models.threads import one_thread


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def fail_inside() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError


def test_one_thread_inside_and_as_many_as_before_afterwards() -> None:
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_the_number_of_threads_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError):
        fail_inside()
    assert torch.get_num_threads() == 2
