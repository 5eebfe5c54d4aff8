"""Detection: is this heart diseased (label=disease), or which diagnosis has it (label=group)?"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fedcmr.tasks import scoring
from fedcmr.tasks.heads import REDUCTIONS, OwnedHeads, ViewHeads
from fedcmr.tasks.task import Scores

HEALTHY, DISEASE = "NOR", "disease"
BALANCES = ("none", "loss", "sampling")
THRESHOLDS = ("half", "validation")


@dataclass(frozen=True)
class Knobs:
    """How the classifier is trained and decides.

    Args:
        label_smoothing: ε in [0, 1): the target is (1 − ε) one-hot + ε / L.
        balance: of the classes in training: "loss" (rare classes weigh more), "sampling" (each class is drawn equally
            often) or "none".
        threshold: probability of disease from which a patient counts as diseased: "half" (0.5), or "validation" (one
            value that maximises balanced accuracy over all clients' validation patients).
        reduce: whose logits are averaged: "all" (each view's tokens and the cls token), "patch" (the views) or "cls".
    Raises: ValueError for another word or range.
    """

    label_smoothing: float = 0.1
    balance: str = "loss"
    threshold: str = "half"
    reduce: str = "all"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"task.label_smoothing={self.label_smoothing}: expected a value in [0, 1).")
        for knob, words in (("balance", BALANCES), ("threshold", THRESHOLDS), ("reduce", REDUCTIONS)):
            if getattr(self, knob) not in words:
                raise ValueError(f"task.{knob}={getattr(self, knob)}: expected one of {', '.join(words)}.")


def build(knobs: Knobs) -> "Detection":
    return Detection(knobs)


@dataclass(frozen=True)
class Detection:
    """The task as a value.

    Args:
        knobs: see there.
        classes: names in the order of logits, the healthy one first.
        groups: the diagnoses that `label` knows; empty where any word other than NOR is a disease.
    """

    knobs: Knobs
    classes: tuple[str, ...] = (HEALTHY, DISEASE)
    groups: tuple[str, ...] = ()

    @property
    def samples_balanced(self) -> bool:
        return self.knobs.balance == "sampling"

    def with_labels(self, rule: str, groups: Sequence[str]) -> "Detection":
        """The same task for a data set with these diagnoses.

        Args:
            rule: "disease": two classes, NOR or not; "group": one class for each diagnosis, NOR first, the others
                sorted.
            groups: the diagnoses that occur; "" (unlabelled) does not count.
        Raises: ValueError for another rule, where NOR or every disease is missing, or where a fitted threshold meets
            more than two classes, for which the largest probability decides.
        """
        found = sorted({group for group in groups if group})
        if rule not in (DISEASE, "group"):
            raise ValueError(f"data.label={rule}: expected disease or group.")
        if HEALTHY not in found or len(found) < 2:
            met = ", ".join(found) or "none"
            raise ValueError(
                f"Diagnoses of the chosen patients: {met}. Detection needs {HEALTHY} and at least one disease; "
                "choose clients or a data set that have both."
            )
        if rule == DISEASE:
            return replace(self, classes=(HEALTHY, DISEASE), groups=tuple(found))
        if self.knobs.threshold != "half" and len(found) > 2:
            raise ValueError(
                f"task.threshold={self.knobs.threshold} has no effect on {len(found)} classes, where the largest "
                "probability decides. Leave it out, or use data.label=disease."
            )
        return replace(self, classes=(HEALTHY, *(group for group in found if group != HEALTHY)), groups=tuple(found))

    def label(self, group: str) -> int | None:
        """Class index of a diagnosis, None for "".

        Raises: ValueError for a diagnosis that the data set did not have.
        """
        if not group:
            return None
        if self.groups and group not in self.groups:
            raise ValueError(f"Diagnosis '{group}'; expected one of {', '.join(self.groups)}.")
        if group in self.classes:
            return self.classes.index(group)
        return self.classes.index(DISEASE)

    def head(self, width: int, views: Sequence[str], owners: tuple[str, ...] = ()) -> nn.Module:
        """Features {"cls": (B, 1, D), view: (B, N, D)} -> logits (B, L).

        Args:
            width: D.
            owners: () for one head, or for example ("global", "local") for one of each, whose logits are added.
        """
        classes = len(self.classes)
        if not owners:
            return ViewHeads(width, views, classes, self.knobs.reduce)
        return OwnedHeads({owner: ViewHeads(width, views, classes, self.knobs.reduce) for owner in owners})

    def class_weights(self, counts: Sequence[int]) -> Tensor:
        """(L,) w_c = n / (m n_c) of n cases in m present classes: classes weigh the same, and a case 1 in the mean.

        A class without training cases has weight 0: no case asks for it. Ones where `balance` is not "loss" (with
        "sampling", the draw balances).

        Args:
            counts: training cases of each class, (L,), not all 0.
        Raises: ValueError without any case.
        """
        if len(counts) != len(self.classes) or not sum(counts):
            raise ValueError(
                f"Training cases by class: {list(counts)}; expected {len(self.classes)} counts, not all 0."
            )
        if self.knobs.balance != "loss":
            return torch.ones(len(counts))
        present = sum(count > 0 for count in counts)
        return torch.tensor([sum(counts) / (present * count) if count else 0.0 for count in counts])

    def loss(self, logits_BL: Tensor, labels_B: Tensor, class_weights_L: Tensor) -> Tensor:
        """(1/B) Σ_b w[y_b] · CE(logits_b, (1 − ε) onehot(y_b) + ε / L), a scalar ().

        Divided by B, not by the batch's sum of weights: else the weights would cancel in a batch of one class, and
        small batches would be balanced less than large ones (our choice). Of equal weights it is torch's cross entropy.
        """
        each_B = cross_entropy(logits_BL, labels_B, reduction="none", label_smoothing=self.knobs.label_smoothing)
        return (class_weights_L[labels_B] * each_B).mean()

    def probabilities(self, logits_BL: Tensor) -> Tensor:
        """Softmax over classes, (B, L), in float64: a row's sum is 1 to the precision that reports are written in."""
        return logits_BL.double().softmax(dim=-1)

    def decide(self, probabilities: Sequence[float], threshold: float) -> int:
        """Of two classes: 1 where p(disease) ≥ threshold. Of more: the most probable, the first among equals."""
        if len(self.classes) == 2:
            return int(probabilities[1] >= threshold)
        return max(range(len(probabilities)), key=lambda index: probabilities[index])

    def threshold(self, labels: Sequence[int], probabilities: Sequence[Sequence[float]]) -> float:
        """0.5, or the value fitted on these (pooled validation) patients where task.threshold=validation.

        Raises: ValueError where a value is to be fitted and the patients are of one class only.
        """
        if self.knobs.threshold == "half":
            return 0.5
        return scoring.fit_threshold(labels, [row[1] for row in probabilities])

    def scores(self, labels: Sequence[int], probabilities: Sequence[Sequence[float]], threshold: float) -> Scores:
        """The metrics of `scoring.scores`, decided at `threshold`."""
        return self.scores_of(labels, probabilities, [self.decide(row, threshold) for row in probabilities])

    def scores_of(
        self, labels: Sequence[int], probabilities: Sequence[Sequence[float]], decided: Sequence[int]
    ) -> Scores:
        """The metrics of `scoring.scores`, decided already."""
        return scoring.scores(labels, probabilities, decided)

    def calibration(self, labels: Sequence[int], probabilities: Sequence[Sequence[float]]) -> Scores:
        """Intercept and slope of p(disease) = 1 − p(NOR), see `scoring.calibration`."""
        return scoring.calibration([int(label > 0) for label in labels], [sum(row[1:]) for row in probabilities])
