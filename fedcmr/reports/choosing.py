"""Which round is reported beside the last one: chosen on validation alone."""

from collections.abc import Mapping, Sequence

from fedcmr.messages import Round, Scores


def chosen_round(rounds: Sequence[Round], view: str = "personal") -> int:
    """Number of the round of smallest pooled log loss on validation, one for all clients; the earliest of equals.

    Args:
        rounds: of one fold, in order.
        view: whose scores are compared.
    Returns the last round's number where no round has a log loss (every model diverged).
    Raises: ValueError without rounds.
    """
    if not rounds:
        raise ValueError("No round to choose from; expected at least one.")
    clients = {client for closed in rounds for client in closed.scores}
    # a round that lacks a client's scores would be compared by other patients
    whole = [closed for closed in rounds if closed.scores.keys() == clients]
    losses = {closed.number: pooled_log_loss(closed.scores, view) for closed in whole}
    defined = {number: loss for number, loss in losses.items() if loss is not None}
    return min(defined, key=lambda number: (defined[number], number)) if defined else rounds[-1].number


def pooled_log_loss(scores: Mapping[str, Mapping[str, Scores]], view: str = "personal") -> float | None:
    """Σ_k n_k loss_k / Σ_k n_k over clients in the order of names, nats; None where a client's loss is undefined.

    Args:
        scores: client -> view -> metric, with `n` and `log_loss`. Clients without patients (n = 0) do not count.
    """
    total, patients = 0.0, 0.0
    for client in sorted(scores):
        own = scores[client][view]
        number, loss = own["n"] or 0, own["log_loss"]
        if not number:
            continue
        if loss is None:
            return None
        total, patients = total + number * loss, patients + number
    return total / patients if patients else None
