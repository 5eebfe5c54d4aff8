"""Servers that one bad client of five cannot steer: what may stand where the weighted mean stands.

Two compare entry by entry; the others compare whole updates, as vectors θ_k of all that is shared. The factors A and B
are compared apart, just as the weighted mean averages them apart: an approximation, for B Q⁻¹ and Q A have the product
of B and A, so that a client can look strange by its factors and not by what they do.

Each says what it does with the weights. Those by cases are a client's own claim, and a bad client would claim many:
where weights count, the bad have to hold less than half of them. No defence knows malice: who is honest and merely
different is treated as who is bad.

Sums are made in float64, in an order that does not depend on who arrives first; what is sent has the updates' dtype.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import median
from typing import ClassVar

import torch
from torch import Tensor

from fedcmr.messages import Server, Update
from fedcmr.strategy.vectors import joined, mean_vector, parted
from fedcmr.tensors import Tensors

SETTLED, STEPS = 1e-3, 1000
"""The geometric median has settled once a step is shorter than this share of ν; and the most steps it gets."""


class TooFewUpdatesError(ValueError):
    """Fewer updates came in than a defence needs to tell who is bad; the federation cannot go on."""

    exit_code = 3


@dataclass(frozen=True)
class Median:
    """θ_i = median over clients of θ_{k,i}, entry by entry; of an even number the mean of the middle two.

    Weights: none, every client counts once. Breaks down where half of the clients are bad.
    Raises: TooFewUpdatesError for fewer than three, of which no majority can be told.
    Source: Yin et al. 2018, https://arxiv.org/abs/1803.01498.
    """

    fewest: ClassVar[int] = 3
    weighs: ClassVar[bool] = False

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        ordered, _ = _enough(self, updates, weights)
        return _middle(ordered, (len(ordered) - 1) // 2), {}


@dataclass(frozen=True)
class TrimmedMean:
    """θ_i = mean over clients of θ_{k,i}, entry by entry, without the ⌊β K⌋ smallest and the ⌊β K⌋ largest.

    Weights: none, every client counts once. Breaks down where more than ⌊β K⌋ clients are bad.

    Args:
        trim: β in [0, 1/2). 0 is the mean of equal weights; towards 1/2 it nears the median.
    Raises: ValueError outside this range; TooFewUpdatesError where β > 0 and ⌊β K⌋ = 0.
    Source: Yin et al. 2018, https://arxiv.org/abs/1803.01498.
    """

    trim: float
    weighs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.trim < 0.5:
            raise ValueError(f"server.trim={self.trim:g}: expected a share in [0, 0.5), of each end.")

    @property
    def fewest(self) -> int:
        return math.ceil(1 / self._share) if self.trim else 1

    @property
    def _share(self) -> Fraction:
        """β as it is written: 0.29 of 100 is 29, while the binary number nearest to 0.29 gives 28."""
        return Fraction(str(self.trim))

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        ordered, _ = _enough(self, updates, weights)
        return _middle(ordered, math.floor(self._share * len(ordered))), {}


@dataclass(frozen=True)
class ClippedMean:
    """θ = θ_sent + Σ_k p_k min(1, c / ‖Δ_k‖) Δ_k, where Δ_k = θ_k − θ_sent: no client's change is longer than c.

    It bounds how far a bad client pulls, and not in which direction: of a flipped sign it takes nothing away.
    Weights: as they are handed in, as in the source.

    Args:
        bound: c ≥ 0, in the units of the tensors, over all of them together; ∞ is the weighted mean, bit by bit. 0 for
            the median of the round's ‖Δ_k‖ (our choice), which shortens the longer half in every round.
    Raises: ValueError outside this range; TooFewUpdatesError with bound 0 for fewer than three, of which no length is
        the usual one.
    Source: Sun et al. 2019, https://arxiv.org/abs/1911.07963.
    """

    bound: float
    weighs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.bound >= 0:
            raise ValueError(f"server.clip={self.bound:g}: expected a norm above 0, or 0 for the median of the norms.")

    @property
    def fewest(self) -> int:
        return 1 if self.bound else 3

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        ordered, shares = _enough(self, updates, weights)
        like = ordered[0].tensors
        start = joined({name: server.sent[name] for name in like})
        vectors = [joined(update.tensors) for update in ordered]
        norms = [float((vector - start).norm()) for vector in vectors]
        bound = self.bound or median(norms)
        clipped = [
            vector if norm <= bound else start + bound / norm * (vector - start)
            for vector, norm in zip(vectors, norms, strict=True)
        ]
        return parted(mean_vector(clipped, shares), like), {}


@dataclass(frozen=True)
class GeometricMedian:
    """argmin_θ Σ_k p_k ‖θ − θ_k‖, the point from which the way to all clients is shortest.

    By Weiszfeld's steps, smoothed: θ ← Σ_k β_k θ_k / Σ_k β_k with β_k = p_k / max(ν, ‖θ − θ_k‖), from the median of
    each entry until θ rests (our choice: the source begins at the mean, which a bad client puts wherever it likes).
    Weights: as they are handed in, as in the source. Breaks down where bad clients hold half of them.

    Args:
        smoothing: ν > 0, in the units of the tensors: an update nearer than that is as good as met. The source's 1e-6.
    Raises: ValueError outside this range; TooFewUpdatesError for fewer than three, of which no majority can be told.
    Source: Pillutla et al. 2022, https://arxiv.org/abs/1912.13445.
    """

    smoothing: float = 1e-6
    fewest: ClassVar[int] = 3
    weighs: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.smoothing > 0:
            raise ValueError(f"{self}: expected a smoothing above 0.")

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        ordered, shares = _enough(self, updates, weights)
        like = ordered[0].tensors
        vectors = [joined(update.tensors) for update in ordered]
        point = joined(_middle(ordered, (len(ordered) - 1) // 2))
        for _ in range(STEPS):
            distances = [max(self.smoothing, float((vector - point).norm())) for vector in vectors]
            pulls = [share / distance for share, distance in zip(shares, distances, strict=True)]
            before, point = point, mean_vector(vectors, pulls)
            if float((point - before).norm()) < SETTLED * self.smoothing:
                break
        return parted(point, like), {}


@dataclass(frozen=True)
class Krum:
    """θ_j of the one client j whose K − f − 2 nearest others are nearest: argmin_k Σ ‖θ_k − θ_near‖².

    The others' patients do not count in that round. Among equals the first by name.
    Weights: none, every client counts once. Sound where at most f clients are bad.

    Args:
        bad: f ≥ 1, how many clients may be bad.
    Raises: ValueError outside this range; TooFewUpdatesError for fewer than 2 f + 3.
    Source: Blanchard et al. 2017, https://arxiv.org/abs/1703.02757.
    """

    bad: int = 1
    weighs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.bad < 1:
            raise ValueError(f"server.bad={self.bad}: expected at least 1 client that may be bad.")

    @property
    def fewest(self) -> int:
        return 2 * self.bad + 3

    def __call__(self, updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
        ordered, _ = _enough(self, updates, weights)
        vectors = [joined(update.tensors) for update in ordered]
        near = len(vectors) - self.bad - 2
        scores = []
        for k, own in enumerate(vectors):
            squares = sorted(float((own - other).square().sum()) for j, other in enumerate(vectors) if j != k)
            scores.append(math.fsum(squares[:near]))
        return dict(ordered[scores.index(min(scores))].tensors), {}


Defence = Median | TrimmedMean | ClippedMean | GeometricMedian | Krum
"""`fewest` is the number of updates below which it refuses, `weighs` says whether the clients' weights matter to it."""


def _enough(defence: Defence, updates: Sequence[Update], weights: Sequence[float]) -> tuple[list[Update], list[float]]:
    """Updates and weights in the order of client names."""
    if len(updates) < defence.fewest:
        raise TooFewUpdatesError(
            f"{defence} of {len(updates)} updates: expected at least {defence.fewest}; of fewer it cannot tell who is "
            "bad. Bring more clients, or choose another server.combine."
        )
    ordered = sorted(zip(updates, weights, strict=True), key=lambda pair: pair[0].client)
    return [update for update, _ in ordered], [weight for _, weight in ordered]


def _middle(updates: Sequence[Update], cut: int) -> dict[str, Tensor]:
    """The mean of each entry's values but for the `cut` smallest and the `cut` largest."""
    found = {}
    for name, first in updates[0].tensors.items():
        values_K = torch.stack([update.tensors[name].double() for update in updates]).sort(dim=0).values
        found[name] = values_K[cut : len(updates) - cut].mean(dim=0).to(first.dtype)
    return found
