"""The rows of the table: what is judged, on which studies."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fedcmr.models import tiny
from fedcmr.models.backbone import Backbone
from fedcmr.models.threads import one_thread
from fedcmr.pretraining.card import WEIGHTS
from probing.controls import CONTROLS
from probing.effort import Effort
from probing.encoding import Measured, carried_over, vendor_accuracy
from probing.frozen import Frozen
from probing.further import further
from probing.judging import AS_IS, Told, judged, of_views
from probing.patients import Fold, Study
from probing.scores import gain

FURTHER = "+further"

Found = dict[str, object]
"""As JSON knows it: {"what", "scores": {study: {judge: {view: Scores}}}}, of backbones also "encodes", "carried_over",
"vendor" and, beside random weights, "gain": {study: {judge: Interval}}.
"""


@dataclass(frozen=True)
class Row:
    """A row, and what stands behind its scores and is nobody's to keep.

    Args:
        found: for the table. told: study -> judge -> probabilities of its patients.
    """

    found: Found
    told: Mapping[str, Mapping[str, Told]]


Tell = Callable[[str], None]


@dataclass(frozen=True)
class Weights:
    """One backbone of the table.

    Args:
        name: of its row. file: None for random weights.
    """

    name: str
    backbone: Backbone
    file: Path | None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest() if self.file else ""


def random_weights() -> Weights:
    """What any pre-training has to beat."""
    return Weights(tiny.RANDOM, tiny.build(tiny.Knobs(weights=tiny.RANDOM)), None)


def embedded_weights() -> Weights:
    """Those of the package."""
    return Weights(tiny.EMBEDDED, tiny.build(tiny.Knobs()), tiny.FILE)


def weights_of(file: Path) -> Weights:
    """Weights of `python -m fedcmr.pretrain`, named after their folder, or after the file where it has a name of its
    own. Raises: ValueError where they cannot be read or do not fit.
    """
    name = file.absolute().parent.name if file.name == WEIGHTS else file.stem
    return Weights(name, tiny.build(tiny.Knobs(path=str(file))), file)


def backbone_row(weights: Weights, studies: Sequence[Study], truth: Measured, effort: Effort, tell: Tell) -> Row:
    """The frozen backbone on every study; what its features encode; whether they tell the vendor of a phantom."""
    frozen = Frozen(weights.backbone)
    row = _judged_row(weights.backbone.provenance, studies, lambda fold: frozen, truth, effort, tell)
    with one_thread():
        for taught in (study for study in studies if not study.is_real):
            row.found["vendor"] = vendor_accuracy(taught, frozen)
            row.found["carried_over"] = {
                asked.name: carried_over(taught, asked, frozen, truth) for asked in studies if asked.is_real
            }
    return row


def further_row(weights: Weights, studies: Sequence[Study], truth: Measured, effort: Effort, tell: Tell) -> Row:
    """The same weights, pre-trained further on the images of each fold's training patients; on real patients alone."""
    assert weights.file is not None
    file, real = weights.file, [study for study in studies if study.is_real]

    def backbone_of(fold: Fold) -> Frozen:
        return Frozen(further(file, fold.train, real[0].volumes, effort.further_epochs))

    what = f"{weights.name}, further pre-trained on the fold's training images"
    return _judged_row(what, real, backbone_of, truth, effort, tell)


def control_row(name: str, studies: Sequence[Study], truth: Measured, effort: Effort, tell: Tell) -> Row:
    """A control on every study."""
    judge, control = CONTROLS[name]
    told: dict[str, Told] = {}
    for study in studies:
        tell(study.name)
        told[study.name] = control(study, truth, effort)
    scores = {study.name: {judge: plain(of_views(study, {AS_IS: told[study.name]}))} for study in studies}
    found: Found = {"what": (control.__doc__ or "").strip(), "scores": scores}
    return Row(found, {study: {judge: own} for study, own in told.items()})


def gains(row: Row, other: Row, studies: Sequence[Study]) -> dict[str, object]:
    """Study -> judge -> by how much the AUROC exceeds that of the other row."""
    return {
        study.name: {
            judge: plain(gain(study.tested, own, other.told[study.name][judge]))
            for judge, own in row.told[study.name].items()
        }
        for study in studies
        if study.name in row.told and study.name in other.told
    }


def _judged_row(
    what: str,
    studies: Sequence[Study],
    backbone_of: Callable[[Fold], Frozen],
    truth: Measured,
    effort: Effort,
    tell: Tell,
) -> Row:
    scores, encodes, told = {}, {}, {}
    for study in studies:
        tell(study.name)
        found = judged(study, backbone_of, truth, effort.training, study.is_real)
        scores[study.name] = {judge: plain(of_views(study, own)) for judge, own in found.told.items()}
        encodes[study.name] = found.encodes
        told[study.name] = {judge: own[AS_IS] for judge, own in found.told.items()}
    return Row({"what": what, "scores": scores, "encodes": encodes}, told)


def plain(scores: object) -> dict[str, object]:
    """Scores, or an interval, as JSON knows them."""
    known: dict[str, object] = json.loads(json.dumps(scores, default=asdict))
    return known
