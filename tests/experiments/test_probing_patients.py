"""Who teaches and who is scored; and that held-out patients stay shut."""

import shutil
from pathlib import Path

import pytest
from made_patients import by_hash, listening, make_training, patient
from probing import patients
from probing.patients import Fold, Study, development_study, patient_folders, phantom_study, release_study

from fedcmr.data.preparing import Preprocessing
from fedcmr.data.volumes import Volumes


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    # ten for development, five of each group, and three more
    return make_training(tmp_path / "acdc", by_hash(13), ["NOR", "DCM"] * 5 + ["NOR", "DCM", "HCM"])


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    return Volumes(Preprocessing(), tmp_path / "volumes")


@pytest.fixture
def no_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    # made hearts are alike; they are looked at, as real ones are, and found to be different
    def looked_at(cases, volumes):
        assert all(volumes[case] is not None for case in cases)
        return []

    monkeypatch.setattr(patients, "find_twins", looked_at)


@pytest.mark.usefixtures("no_twins")
def test_nothing_of_a_held_out_patient_is_opened(acdc, volumes):
    with listening() as opened:
        study = development_study(acdc, volumes, count=10)
        study.with_typical_slices()
    names = by_hash(13)
    assert all(any(name in path for path in opened) for name in names[:10])  # the ear hears
    assert not [path for path in opened if any(name in path for name in names[10:])]
    assert {case.id for case in study.everybody} == set(names[:10])


@pytest.mark.usefixtures("no_twins")
def test_development_does_not_miss_the_files_of_the_held_out(acdc, volumes):
    for name in by_hash(13)[10:]:
        shutil.rmtree(acdc / "training" / name)
        (acdc / "training" / name).mkdir()
    assert len(development_study(acdc, volumes, count=10).tested) == 10


@pytest.mark.usefixtures("no_twins")
def test_every_development_patient_is_scored_once_by_others(acdc, volumes):
    study = development_study(acdc, volumes, count=10)
    assert sorted(case.id for case in study.tested) == sorted(by_hash(13)[:10])
    for fold in study.folds:
        assert sorted(case.group for case in fold.test) == ["DCM", "NOR"]
        assert {case.id for case in fold.train}.isdisjoint(case.id for case in fold.test)
        assert len(fold.train) == 8


def test_twins_are_scored_in_one_fold(acdc, volumes, monkeypatch):
    one, other = by_hash(13)[0], by_hash(13)[2]  # both NOR
    monkeypatch.setattr(patients, "find_twins", lambda cases, volumes: [(*sorted((one, other)), 1.0)])
    monkeypatch.setattr(patients, "FOLDS", 4)
    study = development_study(acdc, volumes, count=10)
    assert sum({one, other} <= {case.id for case in fold.test} for fold in study.folds) == 1


@pytest.mark.usefixtures("no_twins")
def test_a_release_scores_the_others_alone(acdc, volumes):
    (fold,) = release_study(acdc, volumes, count=10).folds
    assert {case.id for case in fold.train} == set(by_hash(13)[:10])
    assert {case.id for case in fold.test} == set(by_hash(13)[10:])


def test_a_twin_of_a_development_patient_is_not_scored_in_a_release(acdc, volumes, monkeypatch):
    one, other = by_hash(13)[0], by_hash(13)[10]
    monkeypatch.setattr(patients, "find_twins", lambda cases, volumes: [(one, other, 1.0)])
    (fold,) = release_study(acdc, volumes, count=10).folds
    assert {case.id for case in fold.test} == set(by_hash(13)[11:])


def test_a_folder_without_patients_is_refused(tmp_path):
    (tmp_path / "training").mkdir()
    with pytest.raises(ValueError, match="found no patient folder"):
        patient_folders(tmp_path)


def test_phantoms_are_sampled_in_the_shares_of_clients_and_groups():
    cases = [patient(f"a{i}", "NOR") for i in range(8)] + [patient(f"b{i}", "DCM", "vendorB") for i in range(4)]
    cases += [patient(f"t{i}", "NOR", part="testing") for i in range(5)]
    study = phantom_study(cases, volumes=None, train=6, test=10)
    (fold,) = study.folds
    assert [case.client for case in fold.train] == ["vendorA"] * 4 + ["vendorB"] * 2
    assert len(fold.test) == 5
    assert phantom_study(cases[::-1], None, 6, 10) == study


def test_everybody_is_named_once():
    a, b = patient("a"), patient("b")
    study = Study("made", None, (Fold((a,), (b,)), Fold((b,), (a,))), False)
    assert study.everybody == (a, b)
    assert study.tested == (b, a)
