"""The command: rows, the table, and the one opening of held-out patients. Made patients, real sizes of the backbone."""

import json
from dataclasses import replace
from pathlib import Path

import backbone_probe
import pytest
from backbone_probe import main
from made_data import Heart, make_acdc_patient
from made_patients import by_hash, listening, make_training
from probing import openings, patients
from probing.choosing import candidates, chosen_rows, judges_of
from probing.effort import Effort, Training
from probing.further import further
from probing.rows import random_weights, weights_of
from probing.table import markdown
from safetensors.torch import save_file

from fedcmr.data.acdc import read_acdc
from fedcmr.data.phantom import Knobs as PhantomKnobs
from fedcmr.data.preparing import Preprocessing
from fedcmr.data.volumes import Volumes
from fedcmr.models.decoder import DecoderShape
from fedcmr.models.masked import seeded_autoencoder
from fedcmr.models.tiny import SHAPE
from fedcmr.tensors import digest

LITTLE = Effort(Training(epochs=1, seeds=1), train_phantoms=4, test_phantoms=12, further_epochs=1)
"""Enough to see that everything is there."""


@pytest.fixture
def acdc(tmp_path: Path) -> Path:
    # ten for development, five of each group, and four more
    return make_training(tmp_path / "acdc", by_hash(14), ["NOR", "DCM"] * 7)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A masked autoencoder, as `python -m fedcmr.pretrain` leaves it in a folder."""
    file = tmp_path / "made" / "weights.safetensors"
    file.parent.mkdir()
    model = seeded_autoencoder(replace(SHAPE, frames=1), DecoderShape(96, 2, 2), 7)
    save_file(model.state_dict(), file)
    return file


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Little effort, ten development patients, none twins, and made hearts instead of the phantom cohort."""
    for name in ("FULL", "QUICK"):
        monkeypatch.setattr(backbone_probe, name, LITTLE)
    for function in (patients.development_study, patients.release_study):
        short = lambda root, volumes, own=function: own(root, volumes, count=10)  # noqa: E731
        monkeypatch.setattr(backbone_probe, function.__name__, short)
    monkeypatch.setattr(patients, "find_twins", lambda cases, volumes: [])
    monkeypatch.setattr(backbone_probe, "CHOSEN_ON", 10)

    def cohort(knobs: PhantomKnobs) -> list:
        for number in range(16):
            part = "training" if number < 4 else "testing"
            folder = tmp_path / "cohort" / part / f"made{number:03d}"
            make_acdc_patient(folder, ("NOR", "DCM")[number % 2], heart=Heart(seed=50 + number))
        cases = read_acdc(tmp_path / "cohort")
        return [replace(case, client=f"vendor{'ABBA'[number % 4]}") for number, case in enumerate(cases)]

    monkeypatch.setattr(backbone_probe.phantom, "build", cohort)


def test_a_row_that_there_is_not_is_refused_by_the_nearest_name(capsys):
    assert main(["--rows", "acqusition"]) == 2
    assert "acquisition" in capsys.readouterr().err


def test_quick_trains_nothing_further_unless_asked(weights):
    assert [one.name for one in candidates([weights], is_release=False)] == ["embedded", "made"]
    judges = judges_of(candidates([weights], is_release=True))
    assert list(judges)[:3] == ["random", "made", "made+further"]
    assert set(judges) - set(chosen_rows(judges, None, is_quick=True)) == {"made+further"}
    assert list(chosen_rows(judges, "made+further, masks", is_quick=True)) == ["made+further", "masks"]


def test_two_files_of_one_name_are_refused(weights):
    with pytest.raises(ValueError, match="names that differ"):
        judges_of([weights_of(weights), weights_of(weights)])


def test_weights_are_named_and_hashed(weights):
    found = weights_of(weights)
    assert found.name == "made"
    assert len(found.sha256) == 64
    assert found.backbone.digest() != random_weights().backbone.digest()


def test_controls_are_scored_on_phantoms_and_patients(acdc, tmp_path, capsys):
    out = tmp_path / "found.json"
    rows = "height-weight,masks-logistic"
    with listening() as opened:
        assert main(["--acdc", str(acdc), "--rows", rows, "--out", str(out)], tmp_path / "openings.json") == 0
    assert not [path for path in opened if any(name in path for name in by_hash(14)[10:])]
    found = json.loads(out.read_text())
    assert list(found["rows"]) == rows.split(",")
    assert found["studies"]["ACDC"] == {"is_real": True, "taught": 10, "scored": 10, "folds": 5}
    # heights and weights of made patients are all equal
    assert found["rows"]["height-weight"]["scores"]["ACDC"]["forest"]["all"]["auroc"]["value"] == 0.5
    printed = capsys.readouterr().out
    assert "| masks-logistic | logistic |" in printed
    assert "ACDC: 10 patients, 5 diseased" in printed
    assert "opened 0 times" in printed


@pytest.mark.slow  # trains the network and the backbone of the real size, ten trainings
def test_a_backbone_and_the_network_are_judged_everywhere(acdc, weights, tmp_path):
    found = []
    for name in ("one", "again"):
        out = tmp_path / f"{name}.json"
        arguments = ["--acdc", str(acdc), "--weights", str(weights), "--rows", "random,made,scratch", "--out", str(out)]
        assert main(arguments, tmp_path / "openings.json") == 0
        found.append(out.read_bytes())
    row = json.loads(found[0])["rows"]["made"]
    assert set(row["scores"]["ACDC"]["linear"]) == {"all", "10 mm", "blanked", "blanked throughout"}
    assert set(row["scores"]["phantom"]["lora"]) == {"all", "10 mm"}
    assert set(row["carried_over"]) == {"ACDC"}
    values = [
        json.loads(found[0])["rows"][name]["scores"]["ACDC"]["lora"]["all"]["auroc"] for name in ("random", "made")
    ]
    assert row["gain"]["ACDC"]["lora"]["value"] == pytest.approx(values[1]["value"] - values[0]["value"])
    assert "told" not in found[0].decode()
    assert found[0] == found[1]


@pytest.mark.slow  # backbone of the real size
def test_held_out_patients_are_opened_once_and_the_earlier_scores_shown(acdc, weights, tmp_path, capsys):
    record = tmp_path / "openings.json"
    arguments = ["--acdc", str(acdc), "--weights", str(weights), "--rows", "made,masks", "--release"]
    assert main(arguments, record) == 0
    assert "opened 1 times" in capsys.readouterr().out
    (opening,) = openings.read_openings(record)
    assert (opening.weights, opening.taught, opening.scored) == ("made", 10, 4)
    assert opening.weights_sha256 == weights_of(weights).sha256
    assert opening.result["studies"]["ACDC held out"]["scored"] == 4
    assert main(arguments, record) == 2
    shown = capsys.readouterr().err
    assert "once is all" in shown
    assert markdown(opening.result, 1) in shown
    assert len(openings.read_openings(record)) == 1


@pytest.mark.parametrize("extra", [["--quick"], ["--rows", "masks"]], ids=["quick", "without the weights' own row"])
def test_a_release_is_no_time_to_choose(acdc, weights, tmp_path, capsys, extra):
    record = tmp_path / "openings.json"
    assert main(["--acdc", str(acdc), "--weights", str(weights), "--release", *extra], record) == 2
    assert "--release asks for" in capsys.readouterr().err
    assert main(["--acdc", str(acdc), "--weights", str(weights), str(weights), "--release"], record) == 2
    assert not record.exists()


@pytest.mark.slow  # a few steps of the masked autoencoder of the real size
def test_further_pretraining_is_a_function_of_weights_and_cases(acdc, weights, tmp_path):
    cases = [case for case in read_acdc(acdc) if case.part == "training"][:3]
    volumes = Volumes(Preprocessing(), tmp_path / "volumes")
    one, again = (further(weights, cases, volumes, epochs=1) for _ in range(2))
    other = further(weights, cases[:2], volumes, epochs=1)
    assert one.digest() == again.digest()
    assert len({digest(b.foundation()) for b in (one, other, weights_of(weights).backbone)}) == 3
