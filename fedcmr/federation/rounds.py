"""THE loop. A generator: progress, journal, W&B and saving are visible lines in whoever consumes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedcmr.federation.client import Handover
from fedcmr.federation.door import RefusedError, let_in
from fedcmr.federation.scoring import Scored
from fedcmr.messages import Refusal, Round, Server, Update
from fedcmr.strategy.metering import metered
from fedcmr.strategy.participating import Draw, everyone
from fedcmr.strategy.strategy import Strategy
from fedcmr.tensors import Tensors


class TooFewClientsError(RuntimeError):
    """Fewer clients than the quorum were let in; the federation cannot go on."""

    exit_code = 3


class Engine(Protocol):
    """Where visits happen. Moves tensors; never looks at an algorithm's arithmetic. A context manager."""

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def clients(self) -> Sequence[str]:
        """Names of all clients, in their order."""
        ...

    def initial(self) -> Server:
        """What is sent before the first round."""
        ...

    def awaited(self, client: str, round: int) -> Tensors:
        """What a client's update of this round has to hold, for its names, shapes and types."""
        ...

    def train(self, server: Server, participants: Sequence[str]) -> Iterator[Handover]:
        """Runs the visits of these clients; yields each as it ends."""
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
    strategy: Strategy,
    engine: Engine,
    count: int,
    server: Server,
    past: Sequence[Round],
    fold: int,
    quorum: int,
    draw: Draw = everyone,
) -> Iterator[Visited | Closed]:
    """Runs the rounds after `server.round` up to `count`, yielding visits and rounds as they end.

    Args:
        draw: (clients, round) -> who takes part in it.
    Raises: TooFewClientsError where fewer than `quorum` updates are let in.
    """
    done = list(past)
    for number in range(server.round + 1, count + 1):
        handovers: list[Handover] = []
        for handover in engine.train(server, draw(engine.clients, number)):
            handovers.append(handover)
            yield Visited(handover, number)
        handovers.sort(key=lambda handover: handover.client)
        updates, refused = _admit(handovers, number, engine)
        if len(updates) < quorum:
            reasons = "; ".join(f"{refusal.client}: {refusal.reason}" for refusal in refused)
            raise TooFewClientsError(
                f"Round {number}: {len(updates)} updates were let in, at least {quorum} are needed. {reasons}"
            )
        weights = strategy.weigh(updates, done)
        sent, memory = strategy.combine(updates, weights, server)
        visited = {handover.client for handover in handovers}
        down = {client: size for client, size in engine.sent_bytes(server).items() if client in visited}
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
            aggregation=metered(updates, weights, server),
        )
        done.append(closed)
        yield Closed(closed, server, validation)


def _admit(handovers: Sequence[Handover], number: int, engine: Engine) -> tuple[list[Update], list[Refusal]]:
    updates, refused = [], []
    for handover in handovers:
        try:
            expected = engine.awaited(handover.client, number)
            updates.append(let_in(handover.payload, handover.client, number, expected))
        except RefusedError as error:
            refused.append(Refusal(handover.client, number, str(error)))
    return updates, refused


def _hashes(done: Sequence[Round], updates: Sequence[Update]) -> dict[str, str]:
    """Every client's last word on its private tensors."""
    before = dict(done[-1].private_hashes) if done else {}
    return dict(sorted({**before, **{update.client: update.private_hash for update in updates}}.items()))
