"""Case -> volume (C=2 frames ED and ES, X=192, Y=192, Z=16) in [0, 1], read once and kept; augmented views of it.

`preparing.py` makes the prepared volume from the files, `store.py` keeps it. What is done on loading is cheap: ED and
ES jointly to [0, 1], zeros after the last slice up to 16 (and after the last row and column up to 192). Of more than
16 slices the middle 16 stay.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from fedcmr.data.cases import Case, cache_root, listed
from fedcmr.data.preparing import WINDOW, Geometry, Preprocessing, prepare
from fedcmr.data.store import CHECKSUM, Store, digest
from fedcmr.data.views import Augmentation, Drawn, draw

SHAPE = (WINDOW, WINDOW, 16)


class Volumes:
    """The volumes of cases under one preprocessing: `volumes[case]`.

    Args:
        preprocessing: see there.
        folder: where prepared volumes are kept; None for `volumes` below the user's cache. Nothing is written before
            the first use.
    """

    def __init__(self, preprocessing: Preprocessing, folder: Path | None = None) -> None:
        self.preprocessing = preprocessing
        self._store = Store(folder if folder is not None else cache_root() / "volumes")

    def __getitem__(self, case: Case) -> Tensor:
        """(2, 192, 192, 16) float32 in [0, 1]. Raises: ValueError where the files cannot be prepared."""
        return finish(self._entry(case)[0])

    def key(self, case: Case) -> str:
        """A hash of the prepared volume's content and of the preprocessing: equal keys, equal volumes."""
        return digest(f"{self.preprocessing.key()} {self._entry(case)[1][CHECKSUM]}")

    def geometry(self, case: Case) -> Geometry:
        """How the study was acquired. Raises: ValueError as `volumes[case]`."""
        return Geometry(**json.loads(self._entry(case)[1]["geometry"]))

    @property
    def folder(self) -> Path:
        """Where prepared volumes are kept."""
        return self._store.folder

    def under(self, preprocessing: Preprocessing) -> "Volumes":
        """The volumes of the same folder under another preprocessing."""
        return Volumes(preprocessing, self.folder)

    def prepare(
        self, cases: Sequence[Case], workers: int = 1, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Prepares what is not there yet. Other processes may do the same at once.

        Args:
            workers: threads >= 1; reading and unpacking overlap, numbers do not depend on it.
            progress: told (done, of how many) after each case.
        Raises: ValueError naming the cases that cannot be prepared, after the others have been.
        """
        with ThreadPoolExecutor(workers) as pool:
            started = [pool.submit(self._entry, case) for case in cases]
            try:
                for done, _ in enumerate(as_completed(started), start=1):
                    if progress is not None:
                        progress(done, len(cases))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)  # an interrupt does not wait for the whole queue
                raise
        faults = [fault for future in started if (fault := future.exception()) is not None]
        if faults:
            raise _all_faults(faults)

    def _entry(self, case: Case) -> tuple[Tensor, dict[str, str]]:
        key = self._source_key(case)
        entry = self._store.load(key)
        if entry is None:
            volume, geometry = prepare(case, self.preprocessing)
            self._store.save(key, volume, {"geometry": json.dumps(asdict(geometry), sort_keys=True)})
            entry = self._store.load(key)
        if entry is None:
            raise ValueError(f"{self._store.folder}: a volume that was just written cannot be read. Is the disk full?")
        return entry

    def _source_key(self, case: Case) -> str:
        """A hash of the files' bytes, the frames and the preprocessing; masks count only where the crop reads them."""
        frames = [f"{self._store.content(frame.image)} {frame.index}" for frame in (case.ed, case.es)]
        parts = [self.preprocessing.key(), *frames]
        if self.preprocessing.crop == "mask" and case.ed.mask is not None:
            parts.append(f"{self._store.content(case.ed.mask)} {case.mask_labels}")
        return digest("\n".join(parts))


def finish(prepared: Tensor) -> Tensor:
    """What the backbone takes, (2, 192, 192, 16) float32 in [0, 1], of a prepared (2, X <= 192, Y <= 192, Z) uint8."""
    spare = max(prepared.shape[3] - SHAPE[2], 0)
    volume = prepared[..., spare // 2 : spare // 2 + SHAPE[2]].float()
    low, high = volume.min(), volume.max()
    volume = (volume - low) / (high - low).clamp(min=1)
    lacking = [wanted - size for wanted, size in zip(SHAPE, volume.shape[1:], strict=True)]
    return torch.nn.functional.pad(volume, (0, lacking[2], 0, lacking[1], 0, lacking[0]))


def augment(volume: Tensor, case_id: str, view: int, seed: int, knobs: Augmentation) -> Tensor:
    """View `view` of a volume, a function of (seed, case_id, view) alone; view 0 is the volume itself.

    Args:
        volume: (C, X, Y, Z) in [0, 1]. Zeros that fill it up beyond its last slice, row and column stay zero.
    """
    if view == 0 or knobs.is_none:
        return volume
    return apply(volume, draw(case_id, view, seed, knobs))


def apply(volume: Tensor, drawn: Drawn) -> Tensor:
    """A volume, (C, X, Y, Z) in [0, 1], with one view's contrast, noise and movement, in this order, kept in [0, 1]."""
    from monai.transforms import AdjustContrast, Affine  # seconds to import, and without augmentation never needed

    if not bool(volume.any()):
        return volume
    X, Y, Z = (int(last) + 1 for last in volume.nonzero().amax(0)[1:])
    image = volume[:, :X, :Y, :Z]  # what was filled up with zeros stays zero
    if drawn.gamma != 1.0:
        image = torch.as_tensor(AdjustContrast(gamma=drawn.gamma)(image))
    if drawn.noise_std > 0:
        random = torch.Generator().manual_seed(drawn.noise_seed)
        image = image + drawn.noise_std * torch.randn(image.shape, generator=random)
    moved = volume.new_zeros(volume.shape)
    moved[:, :X, :Y, :Z] = image.clamp(0, 1)
    if (drawn.turn, drawn.across_mm, drawn.along_mm, drawn.zoom) != (0.0, 0.0, 0.0, 1.0):
        turn_and_shift = Affine(
            rotate_params=(0.0, 0.0, drawn.turn),
            translate_params=(drawn.across_mm, drawn.along_mm, 0.0),
            scale_params=(drawn.zoom, drawn.zoom, 1.0),
            mode="bilinear",
            padding_mode="zeros",
            image_only=True,
        )
        moved = torch.as_tensor(turn_and_shift(moved)).as_subclass(Tensor)
    return moved


def _all_faults(faults: Sequence[BaseException]) -> BaseException:
    """One error that says all of them, up to ten; an error that is no ValueError comes first and alone."""
    for fault in faults:
        if not isinstance(fault, ValueError):
            return fault
    words = sorted(str(fault) for fault in faults)
    return ValueError(listed(words) if len(words) == 1 else f"{len(words)} cases cannot be prepared: {listed(words)}")
