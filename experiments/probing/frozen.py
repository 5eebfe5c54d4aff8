"""A frozen backbone and what it makes of cases: prefixes before the last two blocks, and features. Each made once."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from fedcmr.data.cases import Case
from fedcmr.data.volumes import Volumes
from fedcmr.models.adapters import chosen_blocks
from fedcmr.models.backbone import Backbone

ADAPTED = "last-2"
VIEW = "sax"


class Frozen:
    """The backbone stays as it is; who adapts it takes a copy.

    Args:
        backbone: pristine.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.split = chosen_blocks(ADAPTED, backbone.depth)[0]
        self._prefixes: dict[tuple[str, str, str], dict[str, Tensor]] = {}
        self._features: dict[tuple[str, str, str], NDArray[np.float64]] = {}

    def prefix(self, volumes: Volumes, case: Case) -> dict[str, Tensor]:
        """{"tokens": (T, D), "skip.sax": (N, D)} before the first of the last two blocks."""
        key = _key(volumes, case)
        if key not in self._prefixes:
            image = rearrange(volumes[case], "c x y z -> 1 c x y z")
            parts = self.backbone.prefix({VIEW: image}, self.split)
            self._prefixes[key] = {name: rearrange(part, "1 t d -> t d") for name, part in parts.items()}
        return self._prefixes[key]

    @torch.no_grad()
    def features(self, volumes: Volumes, case: Case) -> NDArray[np.float64]:
        """The class token and the mean of the patches' tokens after the last norm, (2 D,)."""
        key = _key(volumes, case)
        if key not in self._features:
            prefix = {name: rearrange(part, "t d -> 1 t d") for name, part in self.prefix(volumes, case).items()}
            told = self.backbone.suffix(prefix, self.split)
            both = torch.cat([told["cls"][0, 0], told[VIEW][0].mean(dim=0)])
            self._features[key] = both.double().numpy()
        return self._features[key]

    def table(self, volumes: Volumes, cases: Sequence[Case]) -> NDArray[np.float64]:
        """Features of each case, (P, 2 D). Cases go through the backbone side by side, each by itself."""
        with side_by_side() as pool:
            return np.stack(list(pool.map(lambda case: self.features(volumes, case), cases)))


def side_by_side() -> ThreadPoolExecutor:
    """As many jobs at once as there are cores; torch takes one thread for each, so that numbers stay what they are."""
    return ThreadPoolExecutor(os.cpu_count() or 1)


def _key(volumes: Volumes, case: Case) -> tuple[str, str, str]:
    return volumes.preprocessing.key(), case.source, case.id
