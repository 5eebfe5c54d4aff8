"""An engine with one bad client, around any other engine."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from attacks.updates import Attack, Turn
from fedcmr import catalogue
from fedcmr.federation.client import Handover
from fedcmr.federation.door import pack, unpack
from fedcmr.federation.failing import Failed
from fedcmr.federation.rounds import Engine
from fedcmr.messages import Server
from fedcmr.tensors import Tensors


class Attacked:
    """Alters what one client hands over, between its visit and the server's door; all else is the engine's.

    The client's visit itself is honest, and so are the name, round, cases and scores with which its update is signed.

    Args:
        engine: where the visits happen.
        client: the bad one.
        attack: what it hands over instead.
    Raises: ValueError where the engine has no such client.
    """

    def __init__(self, engine: Engine, client: str, attack: Attack) -> None:
        if client not in engine.clients:
            raise ValueError(catalogue.unknown("client", client, list(engine.clients)))
        self.engine, self.client, self.attack = engine, client, attack
        self.earlier: list[Tensors] = []

    def __enter__(self) -> "Attacked":
        self.engine.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.__exit__(*error)

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def train(
        self, server: Server, participants: Sequence[str], absent: Collection[str] = ()
    ) -> Iterator[Handover | Failed]:
        for answer in self.engine.train(server, participants, absent):
            is_bad = isinstance(answer, Handover) and answer.client == self.client
            yield self._altered(answer, server) if is_bad else answer

    def _altered(self, handover: Handover, server: Server) -> Handover:
        trained, said = unpack(handover.payload)
        received = {name: server.sent[name] for name in trained}
        sent = self.attack(Turn(server.round + 1, received, trained, tuple(self.earlier)))
        self.earlier.append(trained)
        return replace(handover, payload=pack(sent, said))
