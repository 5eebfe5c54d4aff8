"""How one client's failure stays its own: what it left instead of an answer, and how long it may take."""

import math
import time
import traceback
from dataclasses import dataclass

LONGEST_CAUSE = 300
"""Characters of a cause that are kept: a line to read, not a report."""


class VisitTimeoutError(RuntimeError):
    """A visit, or a client's scoring, took longer than it may."""


@dataclass(frozen=True)
class Failed:
    """What a client leaves that handed nothing over, or could not be scored.

    Args:
        client: its name.
        cause: one line, without the places in the code.
        trace: the traceback, "" where there is none; for this machine's own records.
    """

    client: str
    cause: str
    trace: str = ""


def failure(client: str, error: BaseException) -> Failed:
    """What an exception leaves of a visit."""
    said = " ".join(str(error).split())
    cause = said if isinstance(error, VisitTimeoutError) else f"{type(error).__name__}: {said}".removesuffix(": ")
    shown = cause if len(cause) <= LONGEST_CAUSE else f"{cause[: LONGEST_CAUSE - 1]}…"
    return Failed(client, shown, "".join(traceback.format_exception(error)))


def too_long(seconds: float) -> str:
    """The cause of a visit that was ended."""
    return f"took longer than visit_timeout={seconds:g} s"


class Deadline:
    """Asked between batches, raises once the time is over.

    Args:
        seconds: from now; 0 for no end.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds if seconds else math.inf

    def check(self) -> None:
        """Raises: VisitTimeoutError."""
        if time.monotonic() > self._end:
            raise VisitTimeoutError(too_long(self.seconds))
