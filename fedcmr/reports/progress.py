"""What is seen while a federation trains: a live table on a terminal, one plain line a round elsewhere."""

import math
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table

from fedcmr.messages import Round
from fedcmr.strategy.participating import Draw, everyone


class Progress:
    """Follows the rounds of all folds; a context manager.

    Args:
        rounds: how many each fold has, ≥ 1.
        clients: names of the clients; another name that visits ("pooled") gets a row of its own.
        console: where to write; the live table only where it is a terminal.
        folds: how many folds there are, ≥ 1.
        draw: (clients, round) -> who takes part in it.
    """

    def __init__(
        self, rounds: int, clients: Sequence[str], console: Console, folds: int = 1, draw: Draw = everyone
    ) -> None:
        self.rounds, self.folds, self.console, self.draw = rounds, folds, console, draw
        self.losses: dict[str, float] = dict.fromkeys(clients, math.nan)
        self.arrived: set[str] = set()
        self.failed: set[str] = set()
        self.last: Round | None = None
        self.seconds: list[float] = []
        self.live = Live(self.table(), console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> "Progress":
        if self.live is not None:
            self.live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def visited(self, client: str, loss: float) -> None:
        """A client's visit ended with this mean training loss."""
        self.losses[client] = loss
        self.arrived.add(client)
        self._show()

    def missed(self, client: str, round: int, cause: str) -> None:
        """A client failed in its visit."""
        self.failed.add(client)
        self.say(f"{client} failed in round {round}: {cause}")
        self._show()

    def say(self, line: str) -> None:
        """A line above the table."""
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def closed(self, round: Round, seconds: float) -> None:
        """A round ended after so many seconds."""
        self.last = round
        self.arrived, self.failed = set(), set()
        self.seconds.append(seconds)
        if self.live is None:
            self.console.print(self.line(), highlight=False, soft_wrap=True)
        self._show()

    def line(self) -> str:
        """The last round in one line, for logs."""
        assert self.last is not None
        fold = f"fold {self.last.fold + 1}/{self.folds}, " if self.folds > 1 else ""
        losses = ", ".join(f"{client} {loss:.3f}" for client, loss in sorted(self.last.losses.items()))
        scores = ", ".join(f"{client} {_decimals(self._score(client))}" for client in sorted(self.last.scores))
        times = f"{self.seconds[-1]:.1f} s, {_duration(self._time_left())} left"
        return (
            f"{fold}round {self.last.number}/{self.rounds} | loss {losses} "
            f"| validation balanced accuracy {scores} | {times}"
        )

    def table(self) -> RenderableType:
        """The state as a table of clients."""
        made = Table(title=self._title(), title_justify="left", title_style="bold", expand=False)
        made.add_column("client")
        made.add_column("this round")
        made.add_column("training loss", justify="right")
        made.add_column("balanced accuracy (val.)", justify="right")
        made.add_column("specificity (val.)", justify="right")
        present = self.draw(list(self.losses), self.last.number % self.rounds + 1 if self.last else 1)
        for client, loss in sorted(self.losses.items()):
            at_work = "training" if client in present else "away"
            ended = "[green]done[/]" if client in self.arrived else "[red]failed[/]" if client in self.failed else ""
            state = ended or at_work
            shown = "" if math.isnan(loss) else f"{loss:.3f}"
            scores = [_decimals(self._score(client, metric)) for metric in ("balanced_accuracy", "specificity")]
            made.add_row(client, state if not self._finished() else "", shown, *scores)
        return made

    def _title(self) -> str:
        if self.last is None:
            return f"round 1 of {self.rounds}"
        fold = f"fold {self.last.fold + 1} of {self.folds}, " if self.folds > 1 else ""
        current = f"round {min(self.last.number + 1, self.rounds)} of {self.rounds}"
        return f"{fold}{current}, {'finished' if self._finished() else _duration(self._time_left()) + ' left'}"

    def _finished(self) -> bool:
        return self.last is not None and self.last.number >= self.rounds and self.last.fold + 1 >= self.folds

    def _time_left(self) -> float:
        """Seconds: rounds that are still to come, each as long as the mean so far."""
        assert self.last is not None
        ahead = self.rounds - self.last.number + (self.folds - self.last.fold - 1) * self.rounds
        return max(0, ahead) * sum(self.seconds) / len(self.seconds)

    def _score(self, client: str, metric: str = "balanced_accuracy") -> float | None:
        if self.last is None or client not in self.last.scores:
            return None
        return self.last.scores[client]["personal"].get(metric)

    def _show(self) -> None:
        if self.live is not None:
            self.live.update(self.table())


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _duration(seconds: float) -> str:
    whole = math.ceil(seconds)
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"
