"""The absences and refusals of a run that is repeated: who failed there fails here, without a try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fedcmr.federation.failing import Failed
from fedcmr.messages import Absence, Refusal, Round

Named = Mapping[tuple[int, int], Mapping[str, str]]
"""(fold, round) -> client -> cause."""

IN_SCORING = "scoring: "
"""How the cause of an absence begins where the client trained, but could not be scored."""


@dataclass(frozen=True)
class Replay:
    """What a journal says of absences, refusals and failed scorings; empty for a run of its own."""

    absences: Named = field(default_factory=dict)
    refusals: Named = field(default_factory=dict)
    unscored: Named = field(default_factory=dict)

    def covers(self, fold: int, number: int) -> bool:
        """Whether this round stands in the journal, and with it everybody who is refused."""
        return (fold, number) in self.refusals

    def absent(self, fold: int, number: int) -> list[Absence]:
        """Who does not visit in this round, in the order of names."""
        return [Absence(client, number, cause) for client, cause in self._of(self.absences, fold, number)]

    def refused(self, fold: int, number: int) -> list[Refusal]:
        """Whose update is not let in."""
        return [Refusal(client, number, reason) for client, reason in self._of(self.refusals, fold, number)]

    def not_scored(self, fold: int, number: int) -> list[Failed]:
        """Who is not scored after this round."""
        return [
            Failed(client, cause.removeprefix(IN_SCORING)) for client, cause in self._of(self.unscored, fold, number)
        ]

    def _of(self, named: Named, fold: int, number: int) -> list[tuple[str, str]]:
        return sorted(named.get((fold, number), {}).items())


def replay_of(journal: Sequence[Round]) -> Replay:
    """What the rounds of a journal say. Raises: ValueError where there are none."""
    if not journal:
        raise ValueError("--replay: the journal holds no round; expected the rounds.jsonl of a run.")

    def named(closed: Round, in_scoring: bool) -> dict[str, str]:
        return {one.client: one.cause for one in closed.absent if one.cause.startswith(IN_SCORING) == in_scoring}

    places = {(closed.fold, closed.number): closed for closed in journal}
    return Replay(
        {place: named(closed, False) for place, closed in places.items()},
        {place: {one.client: one.reason for one in closed.refused} for place, closed in places.items()},
        {place: named(closed, True) for place, closed in places.items()},
    )
