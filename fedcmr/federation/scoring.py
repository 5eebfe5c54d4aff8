"""The two views in which a federation is scored, and the scores of predictions.

personal: shared tensors and the client's own private ones. global: shared tensors, with the private ones as they were
before training; what a new vendor gets, and undefined where no head is shared.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fedcmr.federation.failing import Failed
from fedcmr.messages import Prediction, Scores
from fedcmr.strategy.roles import Role
from fedcmr.strategy.strategy import Strategy
from fedcmr.tasks.task import Task
from fedcmr.tensors import TensorName

VIEWS = ("personal", "global")


@dataclass(frozen=True)
class Scored:
    """Scores of each client (client -> view -> metric) and of all patients as one (view -> metric), the predictions
    that they come from, and the clients that could not be scored, of whom nothing stands in the others.
    """

    scores: dict[str, dict[str, Scores]]
    overall: dict[str, Scores]
    predictions: tuple[Prediction, ...]
    failed: tuple[Failed, ...] = ()


def views_to_run(strategy: Strategy, names: Sequence[str], round: int) -> tuple[str, ...]:
    """The views that need a pass of their own: where nothing is private the two are one."""
    roles = strategy.roles(names, round)
    differ = Role.PRIVATE in roles.values()
    return VIEWS if differ and _shares_head(roles) else ("personal",)


def score(
    task: Task,
    predictions: Sequence[Prediction],
    strategy: Strategy,
    names: Sequence[str],
    round: int,
    failed: Sequence[Failed] = (),
) -> Scored:
    """Orders the predictions, completes the views, and scores each client in each view.

    Args:
        failed: who could not be scored; of several causes of a client the first of the alphabet stands.
    """
    roles = strategy.roles(names, round)
    gone = {one.client: one for one in sorted(failed, key=lambda one: one.cause, reverse=True)}
    complete = [prediction for prediction in predictions if prediction.client not in gone]
    if Role.PRIVATE not in roles.values():
        complete += [replace(prediction, view="global") for prediction in complete]
    complete.sort(key=lambda prediction: (prediction.client, prediction.patient, prediction.view))
    clients = sorted({prediction.client for prediction in complete})
    scores = {client: _by_view(task, [one for one in complete if one.client == client]) for client in clients}
    return Scored(scores, _by_view(task, complete), tuple(complete), tuple(gone[client] for client in sorted(gone)))


def _by_view(task: Task, predictions: Sequence[Prediction]) -> dict[str, Scores]:
    return {view: _of(task, [one for one in predictions if one.view == view]) for view in VIEWS}


def _of(task: Task, rows: Sequence[Prediction]) -> Scores:
    return task.scores([row.label for row in rows], [row.probabilities for row in rows], 0.5)


def _shares_head(roles: dict[str, Role]) -> bool:
    return any(role is Role.SHARED and TensorName.parse(name).is_head for name, role in roles.items())
