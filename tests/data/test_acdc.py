import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_data import make_acdc, make_acdc_patient

from fedcmr.data.acdc import GROUPS, Knobs, build, read_acdc, read_info, read_patient

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "acdc"


def test_every_patient_of_both_parts_is_read(tmp_path):
    cases = read_acdc(make_acdc(tmp_path, ["NOR", "DCM"], ["RV"]))
    found = [(case.id, case.part, case.group, case.client) for case in cases]
    assert found == [
        ("patient001", "training", "NOR", "hospital"),
        ("patient002", "training", "DCM", "hospital"),
        ("patient003", "testing", "RV", "hospital"),
    ]
    assert (cases[0].height_cm, cases[0].weight_kg, cases[0].mask_labels) == (170.0, 70.0, (1, 2, 3))


def test_frames_are_those_that_info_names_though_ed_is_not_the_first(tmp_path):
    make_acdc_patient(tmp_path / "training" / "patient090", "RV", ed=4, es=11)
    case = read_patient(tmp_path / "training" / "patient090")
    assert (case.ed.image.name, case.es.image.name) == ("patient090_frame04.nii.gz", "patient090_frame11.nii.gz")
    assert case.ed.index is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from(GROUPS),
    st.permutations(["ED", "ES", "Group", "NbFrame"]),
    st.sampled_from([": ", ":", " : "]),
    st.sampled_from(["\n", "\r\n", "\n\n"]),
)
def test_info_is_read_whatever_its_order_and_spacing(tmp_path, ed, es, group, keys, colon, end):
    values = {"ED": str(ed), "ES": str(es), "Group": group, "NbFrame": "30"}
    file = tmp_path / "Info.cfg"
    file.write_bytes(end.join(f"{key}{colon}{values[key]}" for key in keys).encode())
    assert read_info(file) == values


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60))
def test_no_bytes_in_info_raise_anything_but_a_value_error(tmp_path, content):
    file = tmp_path / "Info.cfg"
    file.write_bytes(content)
    message = str(file)
    try:
        info = read_info(file)
    except ValueError as error:
        info, message = {"ED": "1", "ES": "1", "Group": "NOR"}, str(error)
    assert str(file) in message
    assert all(info.get(key) for key in ("ED", "ES", "Group"))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ("ED: 1\nES: 3\n", "found no value for Group"),
        ("ED: 1\nED: 2\nES: 3\nGroup: NOR", "each key once"),
        ("ED 1", "expected 'Key: value'"),
        ("ED: 1\nES: 3\nGroup: ARV", "unknown group 'ARV'; expected one of NOR, DCM, HCM, MINF, RV"),
        ("ED: first\nES: 3\nGroup: NOR", "found 'first'; expected a whole number"),
        ("ED: 0\nES: 3\nGroup: NOR\nNbFrame: 12", "frame 0 is out of range; expected 1 to 12"),
        ("ED: 1\nES: 13\nGroup: NOR\nNbFrame: 12", "frame 13 is out of range; expected 1 to 12"),
        ("ED: 1\nES: 5\nGroup: NOR", "says frame 5, but there is no file"),
        ("ED: 1\nES: 3\nGroup: NOR\nHeight: 1.7", "Height: found '1.7'; expected a number from 50 to 250"),
    ],
)
def test_a_faulty_info_is_refused_by_name(tmp_path, info, message):
    folder = tmp_path / "training" / "patient001"
    make_acdc_patient(folder)
    (folder / "Info.cfg").write_text(info)
    with pytest.raises(ValueError, match=message) as raised:
        read_patient(folder)
    assert "patient001" in str(raised.value)


def test_folders_without_info_are_all_named(tmp_path):
    make_acdc(tmp_path, ["NOR", "NOR", "NOR"])
    for name in ("patient001", "patient003"):
        (tmp_path / "training" / name / "Info.cfg").unlink()
    with pytest.raises(ValueError, match=r"without Info.cfg: .*patient001, .*patient003"):
        read_acdc(tmp_path)


def test_a_patient_in_both_parts_is_refused(tmp_path):
    make_acdc(tmp_path, ["NOR"])
    shutil.copytree(tmp_path / "training", tmp_path / "testing")
    with pytest.raises(ValueError, match="Duplicate patients: patient001"):
        read_acdc(tmp_path)


def test_a_root_of_another_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found no 'training', there or in 'database'"):
        read_acdc(tmp_path)
    (tmp_path / "training").mkdir()
    with pytest.raises(ValueError, match="found no patient folder"):
        read_acdc(tmp_path)


def test_a_number_of_sites_below_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"data.sites=0"):
        build(Knobs(str(make_acdc(tmp_path, ["NOR"])), sites=0))


def test_the_100_real_training_patients_are_read():
    if not (REAL / "training").is_dir():
        pytest.skip("unproved: the real ACDC training patients are not beside the repository")
    cases = [case for case in read_acdc(REAL) if case.part == "training"]
    assert len(cases) == 100
    assert {group: sum(case.group == group for case in cases) for group in GROUPS} == dict.fromkeys(GROUPS, 20)
    by_id = {case.id: case for case in cases}
    assert by_id["patient090"].ed.image.name == "patient090_frame04.nii.gz"
    assert all(case.ed.mask is not None and case.ed.mask.is_file() for case in cases)
