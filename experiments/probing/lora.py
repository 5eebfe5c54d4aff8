"""Low-rank adapters in the last two blocks, trained on the fold's patients from their cached prefixes.

The task, its loss, the optimizer and the trainer are the federation's own: what is measured is what a client would
train, alone, on all patients of the fold.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch.utils.data import DataLoader

from fedcmr.branches import Branch
from fedcmr.data.cases import Case
from fedcmr.data.loaders import CaseSet, ClientData
from fedcmr.data.splits import Split
from fedcmr.data.volumes import Volumes
from fedcmr.federation.trainers import SharedTrainer
from fedcmr.federation.tuner import Knobs as VisitKnobs
from fedcmr.federation.tuner import Tuner
from fedcmr.models.adapters import inject
from fedcmr.models.cardiac import Cardiac
from fedcmr.strategy.strategy import Phase
from fedcmr.tasks.detection import Detection
from fedcmr.tasks.detection import Knobs as TaskKnobs
from probing.frozen import ADAPTED, Frozen
from probing.patients import Fold

LAYERS = ("attn.q", "attn.kv", "attn.proj")
RANK = 16
TASK = Detection(TaskKnobs())


def adapt(frozen: Frozen, fold: Fold, volumes: Volumes, epochs: int, seed: int) -> Cardiac:
    """A copy of the backbone with adapters and heads, trained on the fold's training patients. A function of seed."""
    model = Cardiac(copy.deepcopy(frozen.backbone), TASK.head(frozen.backbone.width, frozen.backbone.views, ()))
    inject(model.backbone, (Branch("global", RANK, float(RANK)),), ADAPTED, LAYERS, seed, 0.0)
    model.load(model.start(seed))
    knobs = VisitKnobs(epochs=epochs)
    data = ClientData(
        "probe", Split(fold.train, (), ()), label, lambda case, _: frozen.prefix(volumes, case), knobs.batch, False
    )
    data.reseed(seed)
    weights = TASK.class_weights(data.class_counts(len(TASK.classes)))
    tuner = Tuner(model, TASK, knobs, Phase(), frozenset(model.live()), {}, {}, weights)
    SharedTrainer(knobs).fit(tuner, data.train_dataloader(), data.steps_per_epoch() * epochs)
    return model.eval()


@torch.no_grad()
def told(model: Cardiac, frozen: Frozen, cases: Sequence[Case], volumes: Volumes) -> Mapping[str, float]:
    """Case -> probability of disease, by class-balanced training."""
    members = CaseSet(cases, [label(case) for case in cases], lambda case, _: frozen.prefix(volumes, case), 1)
    batches = [TASK.probabilities(model(batch["inputs"]))[:, 1] for batch in DataLoader(members, VisitKnobs().batch)]
    return dict(zip([case.id for case in cases], torch.cat(batches).tolist(), strict=True))


def label(case: Case) -> int:
    found = TASK.label(case.group)
    assert found is not None, f"{case.id} has no label"
    return found
