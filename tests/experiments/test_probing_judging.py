"""Backbones judged on made volumes, where the diseased have stripes in the heart."""

import numpy as np
import pytest
import torch
from made_patients import SMALL, MadeVolumes, patient
from probing import frozen as freezing
from probing import judging, lora
from probing.effort import Effort, Training
from probing.frozen import Frozen
from probing.judging import AS_IS, BLANKED, THROUGHOUT, TYPICAL, judged, of_views
from probing.patients import Fold, Study

from fedcmr.models.backbone import seeded
from fedcmr.pretraining.targets import MEASURES

CASES = tuple(patient(f"p{i:02d}", "DCM" if i % 2 else "NOR") for i in range(16))
STUDY = Study("made", MadeVolumes(), (Fold(CASES[:8], CASES[8:]), Fold(CASES[8:], CASES[:8])), True)
TRUTH = {case.id: np.random.default_rng(i).normal(size=len(MEASURES)) for i, case in enumerate(CASES)}


@pytest.fixture
def frozen() -> Frozen:
    return Frozen(seeded(SMALL, 0, "made"))


def test_features_are_those_of_the_whole_backbone(frozen):
    images = {"sax": STUDY.volumes[CASES[0]][None]}
    with torch.no_grad():
        told = frozen.backbone(images)
    wanted = torch.cat([told["cls"][0, 0], told["sax"][0].mean(0)])
    assert np.allclose(frozen.features(STUDY.volumes, CASES[0]), wanted.numpy(), atol=1e-5)


def test_a_case_passes_the_backbone_once_and_its_blanked_image_once_more(frozen, monkeypatch):
    passed = []
    prefix = frozen.backbone.prefix
    monkeypatch.setattr(frozen.backbone, "prefix", lambda images, split: passed.append(1) or prefix(images, split))
    for volumes in (STUDY.volumes, STUDY.volumes, STUDY.blanked):
        frozen.table(volumes, CASES)
    assert len(passed) == 2 * len(CASES)


def test_a_disease_in_the_heart_is_told_and_not_where_the_heart_is_blanked(frozen):
    found = judged(STUDY, lambda fold: frozen, TRUTH, Training(epochs=20, seeds=2), is_blanked=True)
    linear, adapted = (of_views(STUDY, found.told[judge]) for judge in ("linear", "lora"))
    assert linear[AS_IS].auroc.value == 1.0
    assert adapted[AS_IS].auroc.value > 0.9
    assert linear[THROUGHOUT].auroc.value < 0.9
    assert set(adapted) == {AS_IS, BLANKED, TYPICAL}
    # p05 and p15 have slices of 5 mm
    assert linear[TYPICAL].n == 14
    assert set(found.encodes) == {"lv_edv", "lv_ef", "lv_mass", "rv_edv", "rv_ef"}


def test_results_do_not_depend_on_the_number_of_cores(frozen, monkeypatch):
    def told(cores: int) -> dict[str, dict[str, float]]:
        monkeypatch.setattr(freezing.os, "cpu_count", lambda: cores)
        return judging.adapted(STUDY, [frozen, frozen], Training(epochs=1, seeds=2), False)

    assert told(1) == told(3)


def test_adapters_leave_the_frozen_backbone_as_it_is(frozen):
    before = frozen.backbone.digest()
    one, again, other = (lora.adapt(frozen, STUDY.folds[0], STUDY.volumes, 2, seed) for seed in (0, 0, 1))
    told = [lora.told(model, frozen, CASES[8:], STUDY.volumes) for model in (one, again, other)]
    assert told[0] == told[1] != told[2]
    assert frozen.backbone.digest() == before
    assert one.backbone.split == SMALL.depth - 2


@pytest.mark.parametrize("name", ["train_phantoms", "test_phantoms", "further_epochs"])
def test_an_effort_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=name):
        Effort(**{name: 0})
    with pytest.raises(ValueError, match="epochs=0"):
        Training(epochs=0)
