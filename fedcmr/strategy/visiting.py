"""The small record of a visit that `install` and `finish` are handed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedcmr.strategy.roles import Role


@dataclass(frozen=True)
class Visit:
    """One client's turn in one round.

    Args:
        round: from 1.
        client: its name.
        cases: number of its training cases.
        steps: optimizer steps of the whole visit.
        lr: learning rate of the visit's optimizer.
        rank: rank of each of its branches.
        participants: all clients of the round, in the order of names.
        roles: role of every tensor in this round.
        trains: False where the client is only scored.
        seed: of the run.
    """

    round: int
    client: str
    cases: int
    steps: int
    lr: float
    rank: Mapping[str, int] = field(default_factory=dict)
    participants: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    trains: bool = True
    seed: int = 0
