import pytest
import torch
from torch import Tensor

from fedcmr.models.backbone import Backbone, seeded
from fedcmr.models.cardiac import Cardiac
from fedcmr.models.shape import BackboneShape
from fedcmr.tasks.heads import ViewHeads

SMALL = BackboneShape(sax=(32, 32, 8), lax=(32, 32), width=24, depth=4, heads=2, stem_channels=(4, 6), stem_blocks=1)


@pytest.fixture
def small_shape() -> BackboneShape:
    return SMALL


@pytest.fixture
def backbone() -> Backbone:
    return seeded(SMALL, 0, "test")


@pytest.fixture
def model(backbone: Backbone) -> Cardiac:
    """Not adapted yet."""
    head = ViewHeads(backbone.width, backbone.views, 2)
    return Cardiac(backbone, head)


@pytest.fixture
def images() -> dict[str, Tensor]:
    return {"sax": torch.rand(2, 2, 32, 32, 8, generator=torch.Generator().manual_seed(7))}
