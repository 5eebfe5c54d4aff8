"""A small 3-D network from scratch, as a control: all that a backbone is worth lies above it."""

import torch
from monai.networks.nets import Classifier
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d
from torch.utils.data import DataLoader

from fedcmr.data.cases import Case
from fedcmr.data.loaders import CaseSet
from fedcmr.data.volumes import SHAPE
from fedcmr.models.threads import one_thread
from probing.effort import Training
from probing.frozen import side_by_side
from probing.judging import Told
from probing.lora import TASK, label
from probing.patients import Fold, Study

POOLED = (2, 2, 1)
CHANNELS = (8, 16, 32, 64)
LEARNING_RATE, BATCH = 1e-3, 8


def from_scratch(study: Study, training: Training) -> Told:
    """Case -> probability of disease, mean over seeds; loss, batches and epochs are those of the adapters."""
    images = {case.id: avg_pool3d(study.volumes[case], POOLED) for case in study.everybody}
    jobs = [(fold, seed, untrained(seed)) for fold in study.folds for seed in range(training.seeds)]
    told: Told = dict.fromkeys((case.id for case in study.tested), 0.0)
    with one_thread(), side_by_side() as pool:
        for found in pool.map(lambda job: _trained(images, *job, training.epochs), jobs):
            for id, p in found.items():
                told[id] += p / training.seeds
    return told


def untrained(seed: int) -> nn.Module:
    """Four residual stages that halve every axis, and a linear layer. A function of seed."""
    size = [length // factor for length, factor in zip(SHAPE, POOLED, strict=True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier((2, *size), len(TASK.classes), CHANNELS, (2,) * len(CHANNELS), num_res_units=1)


def _trained(images: dict[str, Tensor], fold: Fold, seed: int, network: nn.Module, epochs: int) -> Told:
    def members(cases: tuple[Case, ...]) -> CaseSet:
        return CaseSet(cases, [label(case) for case in cases], lambda case, _: {"image": images[case.id]}, 1)

    taught = members(fold.train)
    batches = DataLoader(taught, BATCH, shuffle=True, generator=torch.Generator().manual_seed(seed))
    weights = TASK.class_weights([taught.labels.count(index) for index in range(len(TASK.classes))])
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    for batch in (batch for _ in range(epochs) for batch in batches):
        optimizer.zero_grad()
        TASK.loss(network(batch["inputs"]["image"]), batch["label"], weights).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        shown = DataLoader(members(fold.test), BATCH)
        p = torch.cat([TASK.probabilities(network(batch["inputs"]["image"]))[:, 1] for batch in shown])
    return dict(zip([case.id for case in fold.test], p.tolist(), strict=True))
