"""The two views, and when they are one or none."""

from collections.abc import Sequence

import pytest

from fedcmr.federation.scoring import VIEWS, score, views_to_run
from fedcmr.messages import Prediction
from fedcmr.strategy.roles import HeadOwner, RoleOf, everything_private, everything_shared, local_branch_private
from fedcmr.strategy.strategy import Strategy
from fedcmr.tasks import detection
from fedcmr.tasks.task import Task

NAMES = ["q.branches.global.A", "q.branches.local.A", "head.cls.bias"]
OWNED = ["q.branches.global.A", "q.branches.local.A", "head.global.cls.bias", "head.local.cls.bias"]


@pytest.mark.parametrize(
    ("role", "names", "views"),
    [
        (everything_shared, NAMES, ("personal",)),
        (everything_private, NAMES, ("personal",)),
        (local_branch_private, NAMES, VIEWS),
        (HeadOwner("private", local_branch_private), NAMES, ("personal",)),
        (HeadOwner("private", everything_shared), NAMES, ("personal",)),
        (HeadOwner("both", everything_shared), OWNED, VIEWS),
    ],
)
def test_a_view_gets_a_pass_of_its_own_only_where_it_is_another_model(
    role: RoleOf, names: Sequence[str], views: Sequence[str]
) -> None:
    assert views_to_run(Strategy(role=role), names, 1) == views


def task() -> Task:
    return detection.build(detection.Knobs()).with_labels("disease", ["NOR", "DCM"])


def row(client: str, patient: str, label: int, p: float, view: str = "personal") -> Prediction:
    return Prediction(client, patient, "test", view, label, (1 - p, p))


def test_where_nothing_is_private_the_global_view_is_the_personal_one() -> None:
    rows = [row("GE", "p2", 1, 0.9), row("GE", "p1", 0, 0.2)]
    scored = score(task(), rows, Strategy(), NAMES, 1)
    assert scored.scores["GE"]["global"] == scored.scores["GE"]["personal"]
    assert scored.scores["GE"]["personal"]["balanced_accuracy"] == 1.0
    assert [(each.patient, each.view) for each in scored.predictions] == [
        ("p1", "global"),
        ("p1", "personal"),
        ("p2", "global"),
        ("p2", "personal"),
    ]


def test_where_no_head_is_shared_the_global_view_is_null_not_zero() -> None:
    scored = score(task(), [row("GE", "p1", 0, 0.2)], Strategy(role=everything_private), NAMES, 1)
    assert scored.scores["GE"]["global"]["accuracy"] is None
    assert scored.scores["GE"]["personal"]["accuracy"] == 1.0


def test_the_two_views_are_scored_apart() -> None:
    rows = [
        row("GE", "p1", 0, 0.2), row("GE", "p2", 1, 0.9),
        row("GE", "p1", 0, 0.8, "global"), row("GE", "p2", 1, 0.9, "global"),
    ]  # fmt: skip
    scored = score(task(), rows, Strategy(role=local_branch_private), NAMES, 1)
    assert scored.scores["GE"]["personal"]["specificity"] == 1.0
    assert scored.scores["GE"]["global"]["specificity"] == 0.0
    assert scored.scores["GE"]["global"]["sensitivity"] == 1.0


def test_all_patients_are_scored_as_one_beside_their_clients() -> None:
    # vendor by vendor one class only; together two of each, of whom three are right
    rows = [row("GE", "p1", 0, 0.2), row("GE", "p2", 0, 0.7), row("Canon", "p3", 1, 0.9), row("Canon", "p4", 1, 0.8)]
    scored = score(task(), rows, Strategy(), NAMES, 1)
    assert scored.overall["personal"]["balanced_accuracy"] == 0.75
    assert scored.overall["personal"]["n"] == 4
    assert scored.scores["GE"]["personal"]["balanced_accuracy"] is None


def test_a_client_of_one_class_has_no_balanced_accuracy() -> None:
    scored = score(task(), [row("GE", "p1", 0, 0.2), row("Siemens", "p2", 1, 0.9)], Strategy(), NAMES, 1)
    for client in ("GE", "Siemens"):
        assert scored.scores[client]["personal"]["balanced_accuracy"] is None
        assert scored.scores[client]["personal"]["auroc"] is None


def test_the_order_of_predictions_changes_nothing() -> None:
    rows = [row("GE", "p1", 0, 0.6), row("GE", "p2", 1, 0.9), row("Canon", "p3", 1, 0.4)]
    assert score(task(), rows, Strategy(), NAMES, 1) == score(task(), rows[::-1], Strategy(), NAMES, 1)
