"""What every task answers. Entries of this folder build one; nothing else in the house knows classes, heads or
metrics.
"""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

Scores = dict[str, float | None]
"""metric -> value; None where it is undefined."""


class Task(Protocol):
    """Features -> logits -> loss, and probabilities -> decisions -> scores.

    Letters: B patients in a batch, L classes, P patients that are scored. Probabilities are rows of L values that sum
    to 1.
    """

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the L classes, in the order of logits. Class 0 is the healthy one."""
        ...

    @property
    def samples_balanced(self) -> bool:
        """Whether training draws each class equally often."""
        ...

    def with_labels(self, rule: str, groups: Sequence[str]) -> "Task":
        """The same task for the diagnoses of a data set."""
        ...

    def label(self, group: str) -> int | None:
        """Class index of a diagnosis; None where the patient has none."""
        ...

    def head(self, width: int, views: Sequence[str], owners: tuple[str, ...]) -> nn.Module:
        """Features {"cls": (B, 1, D), view: (B, N, D)} -> logits (B, L)."""
        ...

    def class_weights(self, counts: Sequence[int]) -> Tensor:
        """(L,) weights of the loss from the number of training cases of each class."""
        ...

    def loss(self, logits_BL: Tensor, labels_B: Tensor, class_weights_L: Tensor) -> Tensor:
        """A scalar ()."""
        ...

    def probabilities(self, logits_BL: Tensor) -> Tensor:
        """(B, L) float64, rows sum to 1."""
        ...

    def decide(self, probabilities: Sequence[float], threshold: float) -> int:
        """The class index that one patient's probabilities come down to."""
        ...

    def threshold(self, labels: Sequence[int], probabilities: Sequence[Sequence[float]]) -> float:
        """The threshold of `decide`, fitted on pooled validation patients where the task's knobs say so."""
        ...

    def scores(self, labels: Sequence[int], probabilities: Sequence[Sequence[float]], threshold: float) -> Scores:
        """Metrics of P patients, decided at one threshold."""
        ...

    def scores_of(
        self, labels: Sequence[int], probabilities: Sequence[Sequence[float]], decided: Sequence[int]
    ) -> Scores:
        """Metrics of P patients whose classes are decided already, perhaps each at the threshold of its own fold."""
        ...

    def calibration(self, labels: Sequence[int], probabilities: Sequence[Sequence[float]]) -> Scores:
        """Intercept and slope of the logistic recalibration of P patients."""
        ...
