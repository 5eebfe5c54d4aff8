from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_data import Row, make_mnms

from fedcmr.data.mnms import COLUMNS, GROUPS, TABLE, Knobs, build, read_mnms

ROWS = [
    Row("A0S9V9", "A", "HCM", ed=0, es=2),
    Row("B1C2D3", "B", "NOR", "Validation", ed=1, es=0, extra={"Height": "171", "Weight": "80", "Sex": "M"}),
    Row("C4D5E6", "C", "DCM", "Testing"),
    Row("D7E8F9", "C", "HCM", "Training/Unlabeled", ed=0, es=0),
]


def test_rows_become_cases_with_frames_counted_from_zero(tmp_path):
    cases = build(Knobs(str(make_mnms(tmp_path, ROWS))))
    found = [(case.id, case.client, case.group, case.part, case.ed.index, case.es.index) for case in cases]
    assert found == [
        ("A0S9V9", "vendorA", "HCM", "training", 0, 2),
        ("B1C2D3", "vendorB", "NOR", "validation", 1, 0),
        ("C4D5E6", "vendorC", "DCM", "testing", 0, 2),
        ("D7E8F9", "vendorC", "", "training", 0, 0),
    ]
    assert (cases[0].height_cm, cases[0].sex, cases[0].centre, cases[0].age_years) == (None, "F", "1", 50.0)
    assert (cases[1].height_cm, cases[1].weight_kg, cases[1].sex) == (171.0, 80.0, "M")
    assert cases[0].mask_labels == (3, 2, 1)


def test_unlabelled_patients_have_no_mask_though_a_file_is_named_so(tmp_path):
    case = read_mnms(make_mnms(tmp_path, ROWS))[3]
    assert (case.ed.image.parent / "D7E8F9_sa_gt.nii.gz").is_file()
    assert case.ed.mask is None


def test_rows_without_files_and_files_without_a_row_are_all_named(tmp_path):
    make_mnms(tmp_path, ROWS)
    table = tmp_path / TABLE
    lines = table.read_text().splitlines()
    extra = lines[1].replace("A0S9V9", "Z9Z9Z9")
    table.write_text("\n".join([lines[0], *lines[2:], extra, lines[2]]))
    with pytest.raises(ValueError, match=r"1 duplicate patients: B1C2D3; 1 rows without files: Z9Z9Z9; .*row: A0S9V9"):
        read_mnms(tmp_path)


def test_the_folder_above_the_release_will_do_too(tmp_path):
    make_mnms(tmp_path / "OpenDataset", ROWS)
    assert read_mnms(tmp_path) == read_mnms(tmp_path / "OpenDataset")


@pytest.mark.parametrize(("written", "height"), [("171.5", 171.5), ("1.72", 172.0), ("0", None), ("", None)])
def test_a_height_is_in_centimetres_or_metres_or_unknown(tmp_path, written, height):
    (case,) = read_mnms(make_mnms(tmp_path, [Row("A0S9V9", extra={"Height": written})]))
    assert case.height_cm == height


def test_missing_images_are_all_named(tmp_path):
    make_mnms(tmp_path, ROWS)
    for code, folder in (("A0S9V9", "Training/Labeled"), ("C4D5E6", "Testing")):
        (tmp_path / folder / code / f"{code}_sa.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"Missing images: .*A0S9V9_sa.nii.gz, .*C4D5E6_sa.nii.gz"):
        read_mnms(tmp_path)


def test_a_patient_in_two_parts_is_refused(tmp_path):
    make_mnms(tmp_path, ROWS)
    (tmp_path / "Testing" / "A0S9V9").mkdir()
    with pytest.raises(ValueError, match="Duplicate patient A0S9V9"):
        read_mnms(tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (Row("A0S9V9", "T"), "unknown vendor 'T'; expected A, B, C, D"),
        (Row("A0S9V9", "A", extra={"VendorName": "Philips"}), "vendor 'A' contradicts its name 'Philips'"),
        (Row("A0S9V9", group="XYZ"), "unknown group 'XYZ'"),
        (Row("A0S9V9", group=""), "unknown group ''"),
        (Row("A0S9V9", extra={"ED": "-1"}), "ED: frame -1 is out of range; expected 0 or more"),
        (Row("A0S9V9", extra={"ES": "nan"}), "ES: found 'nan'; expected a whole number"),
        (Row("A0S9V9", extra={"Age": "400"}), "Age: found '400'; expected a number from 0 to 120"),
        (Row("A0S9V9", extra={"Sex": "x"}), "Sex: found 'x'; expected M, F or nothing"),
    ],
)
def test_a_faulty_row_is_refused_with_its_patient(tmp_path, row, message):
    with pytest.raises(ValueError, match=message) as raised:
        read_mnms(make_mnms(tmp_path, [row]))
    assert "A0S9V9" in str(raised.value)


def test_a_root_without_the_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found no '211230_M&Ms"):
        read_mnms(tmp_path)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {
            "ED": st.one_of(st.integers(0, 40).map(str), st.text(max_size=4)),
            "ES": st.one_of(st.integers(0, 40).map(str), st.text(max_size=4)),
            "Age": st.one_of(st.integers(0, 99).map(str), st.text(max_size=4)),
            "Pathology": st.one_of(st.sampled_from(GROUPS), st.text(max_size=6)),
            "Vendor": st.sampled_from(["A", "B", "C", "D", "", "E"]),
        }
    )
)
def test_any_row_is_read_as_written_or_refused_with_a_value_error(tmp_path, fields):
    folder = tmp_path / "root"
    if not folder.exists():
        make_mnms(folder, [Row("A0S9V9")])
    words = {column: fields.get(column, "") for column in COLUMNS} | {"External code": "A0S9V9"}
    quoted = ['"' + word.replace('"', '""') + '"' for word in words.values()]
    (folder / TABLE).write_text(
        ",".join(["", *COLUMNS]) + "\n" + ",".join(["0", *quoted]) + "\n", encoding="utf-8", newline=""
    )
    cases, message = [], TABLE
    try:
        cases = read_mnms(folder)
    except ValueError as error:
        message = str(error)
    assert TABLE in message
    for case in cases:
        assert (case.group, case.client) == (fields["Pathology"].strip(), f"vendor{fields['Vendor']}")
        assert (case.ed.index, case.es.index) == (float(fields["ED"]), float(fields["ES"]))


def test_the_real_table_of_vendors_agrees_with_the_names_of_the_clients():
    table = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnms_sample" / "vendor_centre.csv"
    if not table.is_file():
        pytest.skip("unproved: the M&Ms sample is not beside the repository")
    vendors = {line.split(",")[1] for line in table.read_text().splitlines()[1:]}
    assert vendors == {"A", "B", "C", "D"}
