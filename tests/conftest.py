"""What every test stands on: one torch thread, no network, no W&B, and no trace in the user's own folders."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fedcmr", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fedcmr")

sys.path.append(str(Path(__file__).parent / "data"))  # the made data sets serve tests of other folders too


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    if "PYTEST_XDIST_WORKER" in os.environ:
        return  # a worker shares the folders of the process that started it, so that a cohort is made once
    folder = tempfile.TemporaryDirectory(prefix="fedcmr-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    root = Path(folder.name)
    os.environ.update(
        HOME=str(root / "home"),
        FEDCMR_CACHE=str(root / "cache"),
        WANDB_DIR=str(root / "wandb"),
        WANDB_MODE="offline",
        WANDB_SILENT="true",
        HF_HUB_OFFLINE="1",
        MPLBACKEND="Agg",
    )
    for name in ("home", "cache", "wandb"):
        (root / name).mkdir()
