"""What the user may wish of the server instead of what the algorithm says: how loud clients are, how K become one."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from fedcmr.knobs import ServerKnobs
from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.robust import ClippedMean, Defence, GeometricMedian, Krum, Median, TrimmedMean
from fedcmr.strategy.strategy import Strategy, Weigh
from fedcmr.strategy.weighing import by_cases, equally
from fedcmr.tensors import Tensors

WEIGHTS: Mapping[str, Weigh] = {"cases": by_cases, "equal": equally}
"""What `server.weights` may say instead of the algorithm."""

DEFENCES: Mapping[str, Callable[[ServerKnobs], Defence]] = {
    "median": lambda knobs: Median(),
    "trimmed_mean": lambda knobs: TrimmedMean(knobs.trim),
    "clipped_mean": lambda knobs: ClippedMean(knobs.clip),
    "geometric_median": lambda knobs: GeometricMedian(),
    "krum": lambda knobs: Krum(knobs.bad),
}
"""What `server.combine` may say instead of a weighted mean."""


def as_wished(strategy: Strategy, method: str, knobs: ServerKnobs) -> Strategy:
    """The strategy with the wished weights and the wished defence.

    With a defence clients weigh equally, unless by cases is wished: a number of cases is a client's own claim.

    Args:
        method: name of the algorithm.
    Raises: ValueError where a defence is wished and the method's own server is no weighted mean, or where weights are
        wished to which the defence does not listen.
    """
    if knobs.combine == "auto":
        return replace(strategy, weigh=WEIGHTS.get(knobs.weights, strategy.weigh))
    if strategy.combine is not weighted_mean or strategy.pool:
        own = str(Strategy(combine=strategy.combine))
        met = "trains all clients as one" if strategy.pool else f"has a server of its own, {own}"
        raise ValueError(
            f"server.combine={knobs.combine}: {method} {met}; a defence can only stand where a weighted mean stood. "
            "Leave server.combine out, or choose a method whose server takes the mean, such as med_dual_lora."
        )
    defence = DEFENCES[knobs.combine](knobs)
    if knobs.weights == "cases" and not defence.weighs:
        raise ValueError(
            f"server.weights=cases has no effect with server.combine={knobs.combine}, where every client counts once. "
            "Leave server.weights out."
        )
    return replace(strategy, combine=defence, weigh=WEIGHTS.get(knobs.weights, equally))


def check_defence(strategy: Strategy, sent: Tensors, count: int) -> None:
    """Refuses a defence that could not defend.

    Args:
        sent: what is sent before the first round. count: of clients in a round.
    Raises: ValueError where the clients share nothing, or are too few to tell who is bad.
    """
    if not isinstance(strategy.combine, Defence):
        return
    if not sent:
        raise ValueError("server.combine has no effect on a method whose clients share nothing. Leave it out.")
    if count < strategy.combine.fewest:
        raise ValueError(
            f"{strategy.combine} needs at least {strategy.combine.fewest} updates and a round has {count} client(s). "
            "Bring more clients, raise participation, or choose another server.combine."
        )
