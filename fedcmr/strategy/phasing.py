"""What trains in which part of a visit."""

from dataclasses import dataclass

from fedcmr.strategy.penalties import NearGlobal, Proximal
from fedcmr.strategy.strategy import Phase
from fedcmr.tensors import TensorName


def is_head(name: TensorName) -> bool:
    return name.is_head


def is_body(name: TensorName) -> bool:
    return not name.is_head


@dataclass(frozen=True)
class OnePhase:
    """All that may train, trains together for the whole visit, under this penalty."""

    penalty: Proximal

    def __call__(self, round: int) -> tuple[Phase, ...]:
        return (Phase(penalty=self.penalty),)


def is_local(name: TensorName) -> bool:
    return name.branch == "local"


def is_not_local(name: TensorName) -> bool:
    return name.branch != "local"


@dataclass(frozen=True)
class GlobalThenLocal:
    """The global branch and the head, with the local branch silent; then the local branch, with the global one silent.

    Args:
        share: of the visit's steps for the local branch, in (0, 1).
        penalty: on the second phase, or None.
    Raises: ValueError outside this range.
    """

    share: float
    penalty: NearGlobal | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"algorithm.local_share={self.share:g}: expected a share between 0 and 1.")

    def __call__(self, round: int) -> tuple[Phase, ...]:
        return (
            Phase(train=is_not_local, silent=frozenset({"local"}), share=1 - self.share),
            Phase(train=is_local, silent=frozenset({"global"}), penalty=self.penalty, share=self.share),
        )


@dataclass(frozen=True)
class HeadFirst:
    """The head for its share of the steps, then the body for the rest.

    Args:
        share: the head's, in (0, 1).
    Raises: ValueError outside this range.
    """

    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"algorithm.head_share={self.share:g}: expected a share between 0 and 1.")

    def __call__(self, round: int) -> tuple[Phase, ...]:
        return Phase(train=is_head, share=self.share), Phase(train=is_body, share=1 - self.share)
