"""Rounds and predictions of a small made federation: two clients of two classes, one of one class."""

from collections.abc import Callable

import pytest

from fedcmr.messages import Prediction, Refusal, Round
from fedcmr.reports.journal import Reported, reported
from fedcmr.tasks.detection import Detection, Knobs, build

CLIENTS = ("vendorA", "vendorB", "vendorC")
# client -> (label, probability of disease) of its test patients
PATIENTS = {
    "vendorA": [(0, 0.2), (0, 0.6), (1, 0.7), (1, 0.9)],
    "vendorB": [(0, 0.1), (1, 0.4), (1, 0.8)],
    "vendorC": [(1, 0.3), (1, 0.55)],
}


@pytest.fixture
def task() -> Detection:
    return build(Knobs())


@pytest.fixture
def rows(task: Detection) -> list[Reported]:
    """Both views of the last round, the personal one of the chosen; the global view is 0.05 lower throughout."""
    made = []
    for client, patients in PATIENTS.items():
        for number, (label, p) in enumerate(patients):
            for view, disease in (("personal", p), ("global", p - 0.05)):
                made.append(Prediction(client, f"{client[-1]}{number}", "test", view, label, (1 - disease, disease)))
    chosen = [prediction for prediction in made if prediction.view == "personal"]
    return reported(task, made, 0, "last", 0.5) + reported(task, chosen, 0, "chosen", 0.5)


@pytest.fixture
def make_round() -> Callable[..., Round]:
    def make(number: int, fold: int = 0, log_losses: tuple[float | None, ...] = (0.5, 0.6, 0.7)) -> Round:
        own = {
            client: {
                view: {"balanced_accuracy": 0.5 + 0.04 * number, "specificity": None, "log_loss": loss, "n": 10}
                for view in ("personal", "global")
            }
            for client, loss in zip(CLIENTS, log_losses, strict=True)
        }
        return Round(
            number=number,
            weights={"vendorA": 0.5, "vendorB": 0.25, "vendorC": 0.25},
            losses={"vendorA": 0.7 / number, "vendorB": 0.1 + 0.2, "vendorC": 1e-17},
            scores=own,
            bytes_up={"vendorA": 100, "vendorB": 100, "vendorC": 102},
            bytes_down=dict.fromkeys(CLIENTS, 90),
            refused=(Refusal("vendorC", number, "'head.cls.bias' holds values that are not finite"),),
            private_hashes={client: f"{client}-hash" for client in CLIENTS},
            fold=fold,
        )

    return make
