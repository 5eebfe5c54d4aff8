"""Training from kept prefixes is training from volumes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from fedcmr.benchmarks.workload import CLIENT, SMALLEST, Workload, initial, stage
from fedcmr.federation.client import visit
from fedcmr.federation.door import unpack


def trained(batch: int, folder: Path, is_kept: bool) -> tuple[float, dict[str, Tensor]]:
    """Mean loss of one visit of three epochs, and every tensor that trained."""
    ready = stage(Workload(SMALLEST, training=6, batch=batch), folder)
    made = ready.federation(ready.prefixes if is_kept else ready.volumes)
    federation = replace(made, knobs=replace(made.knobs, epochs=3))
    handover = visit(federation, CLIENT, initial(federation), {}, (CLIENT,))
    return handover.loss, {**unpack(handover.payload)[0], **handover.kept}


def test_bit_by_bit_where_batches_are_of_one_case(tmp_path: Path) -> None:
    (loss, kept), (other, whole) = (trained(1, tmp_path, is_kept) for is_kept in (True, False))
    assert loss == other
    assert kept.keys() == whole.keys()
    assert all(torch.equal(tensor, whole[name]) for name, tensor in kept.items())


def test_to_rounding_where_several_cases_pass_the_frozen_blocks_together(tmp_path: Path) -> None:
    # a product of larger matrices adds in another order: each step starts 1e-6 apart
    (loss, kept), (other, whole) = (trained(4, tmp_path, is_kept) for is_kept in (True, False))
    assert loss == pytest.approx(other, abs=1e-5)
    for name, tensor in kept.items():
        assert_close(tensor, whole[name], atol=1e-4, rtol=1e-3)
