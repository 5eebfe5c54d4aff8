"""How much is spent on one row of the table; fixed before any result."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Training:
    """How adapters, and the network from scratch, are trained.

    Args:
        epochs: passes over a fold's training patients, ≥ 1.
        seeds: trainings whose probabilities are averaged, ≥ 1.
    Raises: ValueError outside these ranges.
    """

    epochs: int = 30
    seeds: int = 3

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.seeds < 1:
            raise ValueError(f"epochs={self.epochs}, seeds={self.seeds}: expected both at least 1.")


@dataclass(frozen=True)
class Effort:
    """What a row costs.

    Args:
        training: see there.
        train_phantoms, test_phantoms: how many teach and how many are scored, at most; ≥ 1.
        further_epochs: passes over a fold's training images where weights are pre-trained further, ≥ 1.
    Raises: ValueError outside these ranges.
    """

    training: Training = Training()
    train_phantoms: int = 160
    test_phantoms: int = 320
    further_epochs: int = 5

    def __post_init__(self) -> None:
        for name in ("train_phantoms", "test_phantoms", "further_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least 1.")


FULL = Effort()
QUICK = Effort(Training(epochs=10, seeds=1), train_phantoms=80, test_phantoms=120, further_epochs=2)
