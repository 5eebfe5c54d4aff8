"""What the model is fed: a case's frozen prefix, computed once and kept on disk, or its volume; plain or augmented."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from fedcmr.config import Config
from fedcmr.data.cases import Case, cache_root
from fedcmr.data.views import Augmentation
from fedcmr.data.volumes import Volumes, augment
from fedcmr.knobs import PrefixKnobs
from fedcmr.models.cardiac import Cardiac
from fedcmr.models.prefixes import Prefixes
from fedcmr.models.room import make_room


class Inputs:
    """(case, view) -> inputs without the batch axis; view 0 is the plain one.

    Args:
        config: of the run.
        volumes: the prepared images.
        model: whose prefixes are kept.
    """

    def __init__(self, config: Config, volumes: Volumes, model: Cardiac) -> None:
        self.volumes, self.model = volumes, model
        self.knobs = config.of("prefix", PrefixKnobs)
        self.augmentation = config.of("augment", Augmentation)
        self.seed = int(config.plain()["data"].get("seed", 0))
        folder, dtype = cache_root() / "prefixes", getattr(torch, self.knobs.dtype)
        self._prefixes = Prefixes(folder, model.backbone, model.backbone.split, dtype) if self.knobs.keep else None
        self._keys: dict[str, str] = {}
        self._moved: dict[tuple[str, int], dict[str, Tensor]] = {}

    def __call__(self, case: Case, view: int) -> Mapping[str, Tensor]:
        if self._prefixes is None:
            return self._volume(case, view)
        device = self.model.backbone.device
        if device.type == "cpu":
            return self._kept(case, view)
        # to an accelerator each prefix moves once, not once an epoch
        if (case.id, view) not in self._moved:
            self._moved[case.id, view] = {name: part.to(device) for name, part in self._kept(case, view).items()}
        return self._moved[case.id, view]

    @property
    def are_kept(self) -> bool:
        """Whether prefixes are kept on disk."""
        return self._prefixes is not None

    def places(self, wanted: Sequence[tuple[Case, int]]) -> list[Path]:
        """Where the prefixes of these (case, view) stand, or will; none where they are not kept."""
        if self._prefixes is None:
            return []
        return [self._prefixes.path(self._key(case, view), view) for case, view in wanted]

    def make_room(self, places: Sequence[Path]) -> str:
        """Makes room on disk for those of these prefixes that are not there yet, and says what they will take.

        Returns: a line; "" where none is missing.
        Raises: ValueError where all of them take more than `prefix.limit_gb`.
        """
        if self._prefixes is None:
            return ""
        store, limit = self._prefixes, self.knobs.limit_gb * 1e9
        room = make_room(store.folder, places, store.entry_bytes, limit)
        if not room.missing:
            return ""
        gone = f" {room.removed} that were unused for longest gave way." if room.removed else ""
        return (
            f"Frozen prefixes: {room.missing} to make, {room.missing_bytes / 1e6:.0f} MB; {room.held_bytes / 1e6:.0f} "
            f"MB are there of at most {limit / 1e6:.0f}.{gone}"
        )

    @property
    def views(self) -> int:
        """How many versions of each training case there are.

        Raises: ValueError where views are asked for and nothing is augmented, or the reverse.
        """
        views = self.knobs.views
        if (views > 1) == self.augmentation.is_none:
            raise ValueError(
                f"prefix.views={views}, and {'nothing' if views > 1 else 'something'} is augmented: one without the "
                "other has no effect. Set both, for example prefix.views=4 augment.affine=0.5."
            )
        return views

    def _kept(self, case: Case, view: int) -> dict[str, Tensor]:
        assert self._prefixes is not None
        return self._prefixes.get(self._key(case, view), view, lambda: self.model.prefix_of(self._volume(case, view)))

    def _volume(self, case: Case, view: int) -> dict[str, Tensor]:
        return {"sax": augment(self.volumes[case], case.id, view, self.seed, self.augmentation)}

    def _key(self, case: Case, view: int) -> str:
        """A hash of the plain volume's content, and for a view also of how it is drawn."""
        if case.id not in self._keys:
            self._keys[case.id] = self.volumes.key(case)
        plain = self._keys[case.id]
        return f"{plain} {case.id} {self.seed} {self.augmentation}" if view else plain
