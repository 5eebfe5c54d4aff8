"""Rounds and predictions of a small made federation: two clients of two classes, one of one class."""

from collections.abc import Callable
from typing import Any

import pytest

from fedcmr.messages import Prediction, Refusal, Round
from fedcmr.reports.comparing import Repeats
from fedcmr.reports.journal import Reported, reported
from fedcmr.reports.summary import About
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
def about() -> About:
    return About(
        algorithm="med_dual_lora",
        fidelity="paper",
        task="detection",
        data="phantom",
        seed=0,
        rounds=2,
        clients=CLIENTS,
        parameters={"frozen": 10, "shared": 4, "private": 2},
        fingerprint="f" * 64,
        thresholds={"last": [0.5], "chosen": [0.5]},
        chosen_rounds=[1],
        warnings=["vendorC: all test patients are disease"],
        subsets={"slice_10mm": {"A0", "A2"}},
    )


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


def made_summary(algorithm: str, seed: int, better: float) -> dict[str, Any]:
    """A summary of two clients whose balanced accuracies lie around 0.7 + better."""
    values = {"vendorA": 0.7 + better + 0.01 * (seed % 3), "vendorB": 0.6 + better - 0.02 * (seed % 2)}

    def view(value: float | None) -> dict[str, float | None]:
        return {"balanced_accuracy": value, "specificity": value, "sensitivity": value, "auroc": value, "n": 40}

    def both(value: float | None) -> dict[str, dict[str, float | None]]:
        return {"personal": view(value), "global": view(None)}

    mean = sum(values.values()) / 2
    control = {"balanced_accuracy": 0.5, "auroc": 0.5, "accuracy": 0.8, "n": 80}
    sent = {"clients": {client: {"total": 4000, "per_round": 2000} for client in values}, "total": 8000}
    return {
        "algorithm": algorithm,
        "fidelity": "paper",
        "data": "phantom",
        "rounds": 2,
        "seed": seed,
        "mean": both(mean),
        "overall": both(mean),
        "clients": {client: both(value) for client, value in values.items()},
        "controls": {"always_disease": control, "height_weight": None},
        "parameters": {"frozen": 1000, "shared": 40, "private": 20},
        "bytes": {"up": sent, "down": sent},
        "provenance": ["Backbone tiny: seeded random weights, not pre-trained."],
    }


@pytest.fixture
def repeats() -> list[Repeats]:
    """Six federations of three algorithms; the second is better by 0.04 ± a little, the third is the same."""
    seeds = range(6)
    better = {"med_dual_lora": lambda s: 0.0, "fedavg_lora": lambda s: 0.04 + 0.002 * s, "local_only": lambda s: 0.0}
    return [
        Repeats(name, [made_summary(name, seed, gain(seed)) for seed in seeds], [10.0 + seed for seed in seeds])
        for name, gain in better.items()
    ]
