"""The detection task: labels, loss, decisions."""

import pickle

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fedcmr.tasks.detection import Detection, Knobs, build

GROUPS = ["MINF", "NOR", "DCM", ""]


def test_disease_is_every_diagnosis_but_nor():
    task = build(Knobs()).with_labels("disease", GROUPS)
    assert task.classes == ("NOR", "disease")
    assert [task.label(group) for group in ("NOR", "DCM", "MINF", "")] == [0, 1, 1, None]


def test_diagnoses_are_classes_with_nor_first():
    task = build(Knobs()).with_labels("group", GROUPS)
    assert task.classes == ("NOR", "DCM", "MINF")
    assert [task.label(group) for group in ("NOR", "DCM", "MINF", "")] == [0, 1, 2, None]


def test_a_diagnosis_that_the_data_did_not_have_is_refused():
    with pytest.raises(ValueError, match="'HCM'; expected one of DCM, MINF, NOR"):
        build(Knobs()).with_labels("disease", GROUPS).label("HCM")


@pytest.mark.parametrize("groups", [["DCM", "HCM"], ["NOR"], ["", ""], []])
@pytest.mark.parametrize("rule", ["disease", "group"])
def test_data_without_both_healthy_and_diseased_is_refused(rule, groups):
    with pytest.raises(ValueError, match="needs NOR and at least one disease"):
        build(Knobs()).with_labels(rule, groups)


def test_another_rule_is_refused():
    with pytest.raises(ValueError, match="expected disease or group"):
        build(Knobs()).with_labels("vendor", GROUPS)


def test_a_fitted_threshold_is_refused_where_it_would_decide_nothing():
    with pytest.raises(ValueError, match="has no effect on 3 classes"):
        build(Knobs(threshold="validation")).with_labels("group", GROUPS)


@pytest.mark.parametrize(
    "knobs", [{"label_smoothing": 1.0}, {"balance": "yes"}, {"threshold": "0.3"}, {"reduce": "mean"}]
)
def test_a_knob_out_of_range_is_refused(knobs):
    with pytest.raises(ValueError, match=f"task.{next(iter(knobs))}="):
        Knobs(**knobs)


def test_every_class_weighs_the_same_and_a_case_one_in_the_mean():
    task = build(Knobs())
    weights = task.class_weights([2, 6])
    assert_close(weights, torch.tensor([2.0, 2 / 3]))
    assert float(2 * weights[0] + 6 * weights[1]) == pytest.approx(8)
    assert_close(task.class_weights([0, 6]), torch.tensor([0.0, 1.0]))
    for balance in ("none", "sampling"):
        assert_close(build(Knobs(balance=balance)).class_weights([2, 6]), torch.ones(2))
    assert build(Knobs(balance="sampling")).samples_balanced
    with pytest.raises(ValueError, match="not all 0"):
        task.class_weights([0, 0])


def test_with_equal_weights_the_loss_is_torchs():
    logits, labels = torch.tensor([[1.0, -2.0], [0.5, 0.1], [0.0, 3.0]]), torch.tensor([0, 1, 1])
    ours = build(Knobs()).loss(logits, labels, torch.ones(2))
    assert_close(ours, cross_entropy(logits, labels, label_smoothing=0.1))


def test_the_loss_of_batches_adds_up_to_that_of_all_cases():
    # torch's own weighting divides by the batch's weights and would not
    task, weights = build(Knobs()), torch.tensor([2.0, 0.5])
    logits, labels = torch.tensor([[1.0, -2.0], [0.5, 0.1], [0.0, 3.0], [1.0, 1.0]]), torch.tensor([0, 1, 1, 0])
    halves = [task.loss(logits[part], labels[part], weights) for part in (slice(0, 2), slice(2, 4))]
    assert_close(torch.stack(halves).mean(), task.loss(logits, labels, weights))


def test_probabilities_sum_to_one_in_double_precision():
    rows = build(Knobs()).probabilities(torch.tensor([[0.3, -1.7], [10.0, -10.0]]))
    assert rows.dtype == torch.float64
    assert_close(rows.sum(dim=1), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-15)


def test_a_patient_at_the_threshold_is_diseased():
    task = build(Knobs())
    assert [task.decide(row, 0.5) for row in ((0.5, 0.5), (0.51, 0.49))] == [1, 0]
    assert task.decide((0.8, 0.2), 0.15) == 1


def test_of_diagnoses_the_most_probable_is_decided():
    task = build(Knobs()).with_labels("group", GROUPS)
    assert [task.decide(row, 0.5) for row in ((0.2, 0.3, 0.5), (0.4, 0.4, 0.2))] == [2, 0]


def test_a_threshold_is_fitted_only_where_it_is_asked_for():
    labels, rows = [0, 0, 1, 1], [(0.8, 0.2), (0.4, 0.6), (0.3, 0.7), (0.1, 0.9)]
    assert build(Knobs()).threshold(labels, rows) == 0.5
    assert build(Knobs(threshold="validation")).threshold(labels, rows) == pytest.approx(0.65)


def test_scores_are_those_of_the_decisions():
    task = build(Knobs())
    labels, rows = [0, 1], [(0.6, 0.4), (0.7, 0.3)]
    assert task.scores(labels, rows, 0.5) == task.scores_of(labels, rows, [0, 0])
    assert task.scores(labels, rows, 0.3)["sensitivity"] == 1.0


def test_calibration_is_of_disease():
    task = build(Knobs()).with_labels("group", GROUPS)
    rows = [(0.8, 0.1, 0.1)] * 10 + [(0.2, 0.4, 0.4)] * 10
    found = task.calibration([1] * 2 + [0] * 8 + [2] * 8 + [0] * 2, rows)
    assert found["slope"] == pytest.approx(1, abs=1e-5)


def test_the_head_follows_the_classes_and_the_owners():
    task = build(Knobs()).with_labels("group", GROUPS)
    assert task.head(4, ("sax",), ())["sax"].weight.shape == (3, 4)
    assert set(task.head(4, ("sax",), ("global", "local")).keys()) == {"global", "local"}


def test_the_task_pickles_and_compares():
    task = build(Knobs(reduce="cls")).with_labels("disease", GROUPS)
    assert pickle.loads(pickle.dumps(task)) == task != Detection(Knobs())
