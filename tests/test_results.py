"""What a finished run leaves can be read back, and says who was trained on."""

import json
from pathlib import Path

import pytest
from made_runs import command, finished, run

from fedcmr.arguments import configured, parser
from fedcmr.parts import Parts, Recipe, parts_of
from fedcmr.reports.adapters import read_adapters, read_seen
from fedcmr.reports.journal import read_predictions, read_rounds, read_summary
from fedcmr.results import parameter_counts, provenance, trained_on


@pytest.fixture(scope="module")
def parts() -> Parts:
    return parts_of(Recipe(configured(parser("run", "A run.").parse_intermixed_args(command(Path("unused"))))))


def test_the_images_that_were_trained_on_are_known_by_their_content(parts: Parts) -> None:
    assert read_seen(finished()) == {parts.volumes.key(case) for case in trained_on(parts)}
    tested = {case.id for split in parts.folds[0].values() for case in split.test}
    assert tested.isdisjoint(case.id for case in trained_on(parts))


def test_predictions_are_of_all_test_patients_in_both_views_and_rounds(parts: Parts) -> None:
    classes, rows = read_predictions(finished())
    assert classes == parts.task.classes
    tested = sorted(case.id for split in parts.folds[0].values() for case in split.test)
    for view in ("personal", "global"):
        for reported in ("last", "chosen"):
            own = [row.prediction.patient for row in rows if (row.prediction.view, row.round) == (view, reported)]
            assert sorted(own) == tested


def test_the_adapters_say_what_is_needed_to_use_them(parts: Parts) -> None:
    shared, said = read_adapters(finished() / "adapters" / "global.safetensors")
    assert said["backbone"] == parts.model.backbone.digest()
    assert said["alphas"] == {"global": 8.0, "local": 8.0}
    assert said["classes"] == ["NOR", "disease"]
    assert said["threshold"] == 0.5
    assert said["preprocessing"] == parts.volumes.preprocessing.key()
    assert sum(tensor.numel() for tensor in shared.values()) == parameter_counts(parts)["shared"]


def test_the_summary_counts_what_the_journal_counted() -> None:
    said, rounds = read_summary(finished()), read_rounds(finished())
    assert [closed.number for closed in rounds] == [1, 2]
    up = json.loads(json.dumps(said["bytes"]))["up"]
    assert up["total"] == sum(sum(closed.bytes_up.values()) for closed in rounds)
    assert said["refused"] == []


def test_every_report_says_where_backbone_and_patients_come_from(parts: Parts) -> None:
    said = provenance(parts)
    assert said[0].startswith("Backbone tiny: ")
    assert "Augmentation: none." in said
    assert read_summary(finished())["provenance"] == list(said)


def test_a_training_that_diverged_is_named_in_the_summary(tmp_path: Path) -> None:
    # local_only hands nothing over, so the door has nothing to refuse
    wild = ("--algorithm", "local_only", "--rounds", "1", "visit.lr=1e30", "visit.clip=0", "visit.epochs=3")
    assert run(tmp_path / "wild", *wild) == 0
    warnings = read_summary(tmp_path / "wild")["warnings"]
    assert isinstance(warnings, list)
    assert any("vendorA: training diverged in 1 round" in warning for warning in warnings)
