"""THE loop. A generator: progress, journal, W&B and saving are visible lines in whoever consumes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from fedcmr.federation.client import Handover
from fedcmr.federation.door import RefusedError, let_in
from fedcmr.federation.scoring import Scored
from fedcmr.messages import Refusal, Round, Server, Update
from fedcmr.strategy.roles import Role
from fedcmr.strategy.strategy import Strategy
from fedcmr.tensors import Tensors


class TooFewClientsError(RuntimeError):
    """Fewer clients than the quorum were let in; the federation cannot go on."""

    exit_code = 3


class Engine(Protocol):
    """Where visits happen. Moves tensors; never looks at an algorithm's arithmetic. A context manager."""

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *error: object) -> None: ...

    def initial(self) -> Server:
        """What is sent before the first round."""
        ...

    def train(self, server: Server) -> Iterator[Handover]:
        """Runs every client's visit; yields each as it ends."""
        ...

    def sent_bytes(self, server: Server) -> Mapping[str, int]:
        """Bytes that went down to each client in the round after `server`."""
        ...

    def evaluate(self, server: Server, part: str) -> Scored:
        """Scores all clients after a round, in all views."""
        ...

    def save(self, folder: Path) -> None:
        """Keeps each client's private tensors."""
        ...

    def load(self, folder: Path) -> None:
        """Takes them back."""
        ...


@dataclass(frozen=True)
class Visited:
    """A client finished its visit."""

    handover: Handover
    round: int


@dataclass(frozen=True)
class Closed:
    """A round ended."""

    round: Round
    server: Server
    validation: Scored


def rounds(
    strategy: Strategy, engine: Engine, count: int, server: Server, past: Sequence[Round], fold: int, quorum: int
) -> Iterator[Visited | Closed]:
    """Runs the rounds after `server.round` up to `count`, yielding visits and rounds as they end.

    Raises: TooFewClientsError where fewer than `quorum` updates are let in.
    """
    done = list(past)
    for number in range(server.round + 1, count + 1):
        handovers: list[Handover] = []
        for handover in engine.train(server):
            handovers.append(handover)
            yield Visited(handover, number)
        handovers.sort(key=lambda handover: handover.client)
        expected = _awaited(strategy, server, number)
        updates, refused = _admit(handovers, number, expected)
        if len(updates) < quorum:
            reasons = "; ".join(f"{refusal.client}: {refusal.reason}" for refusal in refused)
            raise TooFewClientsError(
                f"Round {number}: {len(updates)} updates were let in, at least {quorum} are needed. {reasons}"
            )
        weights = strategy.weigh(updates, done)
        sent, memory = strategy.combine(updates, weights, server)
        down = engine.sent_bytes(server)
        server = Server(number, sent, memory)
        validation = engine.evaluate(server, "val")
        closed = Round(
            number=number,
            weights={update.client: weight for update, weight in zip(updates, weights, strict=True)},
            losses={handover.client: handover.loss for handover in handovers},
            scores=validation.scores,
            bytes_up={handover.client: len(handover.payload) for handover in handovers},
            bytes_down=down,
            refused=tuple(refused),
            private_hashes=_hashes(done, updates),
            fold=fold,
        )
        done.append(closed)
        yield Closed(closed, server, validation)


def _awaited(strategy: Strategy, server: Server, number: int) -> dict[str, Tensor]:
    """What an update of this round has to hold: of all that was sent, what is shared in this round."""
    roles = strategy.roles(list(server.sent), number)
    return {name: tensor for name, tensor in server.sent.items() if roles[name] is Role.SHARED}


def _admit(handovers: Sequence[Handover], number: int, expected: Tensors) -> tuple[list[Update], list[Refusal]]:
    updates, refused = [], []
    for handover in handovers:
        try:
            updates.append(let_in(handover.payload, handover.client, number, expected))
        except RefusedError as error:
            refused.append(Refusal(handover.client, number, str(error)))
    return updates, refused


def _hashes(done: Sequence[Round], updates: Sequence[Update]) -> dict[str, str]:
    """Every client's last word on its private tensors."""
    before = dict(done[-1].private_hashes) if done else {}
    return dict(sorted({**before, **{update.client: update.private_hash for update in updates}}.items()))
