"""The files that a run leaves are read back as they were written."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcmr.messages import Prediction
from fedcmr.reports import journal
from fedcmr.reports.journal import Reported
from fedcmr.tasks.detection import Knobs, build

HEADER = "client,patient,split,fold,view,round,label,prediction,p_NOR,p_disease\n"


def test_rounds_are_read_back_as_they_were(tmp_path, make_round):
    rounds = [make_round(1), make_round(2), make_round(1, fold=1)]
    for closed in rounds:
        journal.append_round(tmp_path, closed)
    assert journal.read_rounds(tmp_path) == rounds


def test_a_round_is_one_line_of_sorted_keys(tmp_path, make_round):
    journal.append_round(tmp_path, make_round(1))
    (line,) = (tmp_path / "rounds.jsonl").read_text().splitlines()
    assert list(json.loads(line)) == sorted(json.loads(line))
    assert '"vendorB": 0.30000000000000004' in line


def test_equal_rounds_leave_equal_bytes(tmp_path, make_round):
    for folder in ("one", "two"):
        journal.append_round(tmp_path / folder, make_round(1))
        journal.append_round(tmp_path / folder, make_round(2))
    assert (tmp_path / "one/rounds.jsonl").read_bytes() == (tmp_path / "two/rounds.jsonl").read_bytes()
    journal.write_rounds(tmp_path / "three", [make_round(1), make_round(2)])
    assert (tmp_path / "one/rounds.jsonl").read_bytes() == (tmp_path / "three/rounds.jsonl").read_bytes()


def test_half_a_line_is_dropped_on_reading_and_replaced_on_writing(tmp_path, make_round):
    journal.append_round(tmp_path, make_round(1))
    whole = (tmp_path / "rounds.jsonl").read_text()
    (tmp_path / "rounds.jsonl").write_text(whole + whole[:40])
    assert journal.read_rounds(tmp_path) == [make_round(1)]
    journal.append_round(tmp_path, make_round(2))
    assert journal.read_rounds(tmp_path) == [make_round(1), make_round(2)]


def test_a_damaged_line_is_named(tmp_path, make_round):
    journal.append_round(tmp_path, make_round(1))
    with (tmp_path / "rounds.jsonl").open("a") as file:
        file.write('{"number": 2}\n')
    with pytest.raises(ValueError, match=r"rounds\.jsonl, line 2: no round"):
        journal.read_rounds(tmp_path)


def test_a_loss_that_is_not_finite_is_null_in_the_file(tmp_path, make_round):
    journal.append_round(tmp_path, replace(make_round(1), losses={"vendorA": math.nan, "vendorB": 0.5}))
    assert '"losses": {"vendorA": null, "vendorB": 0.5}' in (tmp_path / "rounds.jsonl").read_text()
    assert math.isnan(journal.read_rounds(tmp_path)[0].losses["vendorA"])


def test_a_folder_without_a_journal_has_no_rounds(tmp_path):
    assert journal.read_rounds(tmp_path) == []


def test_times_stand_apart(tmp_path, make_round):
    journal.append_timing(tmp_path, {"round": 1, "seconds": 2.5})
    journal.append_timing(tmp_path, {"round": 2, "seconds": 2.25})
    lines = (tmp_path / "timings.jsonl").read_text().splitlines()
    assert [json.loads(line)["seconds"] for line in lines] == [2.5, 2.25]


def test_predictions_have_the_columns_of_the_contract(tmp_path, task, rows):
    journal.write_predictions(tmp_path, task.classes, rows)
    lines = (tmp_path / "predictions.csv").read_text().splitlines()
    assert lines[0] == "client,patient,split,fold,view,round,label,prediction,p_NOR,p_disease"
    assert lines[1] == "vendorA,A0,test,0,global,last,NOR,NOR,0.85,0.15000000000000002"
    assert lines[2] == "vendorA,A0,test,0,personal,chosen,NOR,NOR,0.8,0.2"
    assert len(lines) == 1 + 3 * 9


def test_predictions_are_read_back_and_the_order_of_rows_is_theirs(tmp_path, task, rows):
    journal.write_predictions(tmp_path, task.classes, rows)
    first = (tmp_path / "predictions.csv").read_bytes()
    classes, back = journal.read_predictions(tmp_path)
    assert classes == task.classes
    assert sorted(map(repr, back)) == sorted(map(repr, rows))
    journal.write_predictions(tmp_path, classes, list(reversed(back)))
    assert (tmp_path / "predictions.csv").read_bytes() == first


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00", exclude_categories=("Cs",)), min_size=1)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words, st.floats(0, 1), st.integers(0, 1))
def test_any_patient_code_and_probability_survives(tmp_path, patient, p, label):
    row = Reported(Prediction("site1", patient, "test", "personal", label, (1 - p, p)), 3, "last", int(p >= 0.5))
    journal.write_predictions(tmp_path, ("NOR", "disease"), [row])
    assert journal.read_predictions(tmp_path) == (("NOR", "disease"), [row])


def test_only_test_patients_are_reported():
    task = build(Knobs())
    patients = [Prediction("site1", part, part, "personal", 0, (0.6, 0.4)) for part in ("train", "val", "test")]
    assert [row.prediction.part for row in journal.reported(task, patients, 0, "last", 0.5)] == ["test"]
    assert journal.reported(task, patients, 0, "last", 0.3)[0].decided == 1
    with pytest.raises(ValueError, match="expected last or chosen"):
        journal.reported(task, patients, 0, "best", 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,label\n", "columns patient,label; expected client"),
        (
            HEADER + "a,b,test,0,personal,last,NOR,NOR,1\n",
            "line 2",
        ),
        (
            HEADER + "a,b,test,0,personal,last,HCM,NOR,1,0\n",
            "line 2",
        ),
        ("", "columns ; expected"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        journal.read_predictions(tmp_path)


def test_a_summary_never_holds_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        journal.write_summary(tmp_path, {"auroc": math.nan})
    assert not (tmp_path / "summary.json").exists()


def test_a_summary_is_sorted_and_read_back(tmp_path):
    journal.write_summary(tmp_path, {"b": None, "a": {"ü": 1}})
    assert (tmp_path / "summary.json").read_text() == '{\n  "a": {\n    "ü": 1\n  },\n  "b": null\n}\n'
    assert journal.read_summary(tmp_path) == {"a": {"ü": 1}, "b": None}
    with pytest.raises(ValueError, match="not finished"):
        journal.read_summary(tmp_path / "nowhere")


def test_nothing_is_left_beside_the_files(tmp_path, make_round, task, rows):
    journal.append_round(tmp_path, make_round(1))
    journal.write_predictions(tmp_path, task.classes, rows)
    journal.write_summary(tmp_path, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv", "rounds.jsonl", "summary.json"]
