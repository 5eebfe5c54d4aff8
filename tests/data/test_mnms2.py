import pytest
from made_data import make_mnms2

from fedcmr.data.mnms2 import Knobs, build, read_mnms2

ROWS = [(1, "NOR", "SIEMENS"), (161, "TRI", "Philips Medical Systems"), (360, "LV", "GE MEDICAL SYSTEMS")]


def test_rows_become_cases_with_parts_by_number(tmp_path):
    cases = build(Knobs(str(make_mnms2(tmp_path, ROWS))))
    assert [(case.id, case.client, case.group, case.part) for case in cases] == [
        ("mnms2-001", "vendorA", "NOR", "training"),
        ("mnms2-161", "vendorB", "TRI", "validation"),
        ("mnms2-360", "vendorC", "LV", "testing"),
    ]
    assert cases[0].ed.image.name == "001_SA_ED.nii.gz"
    assert cases[0].ed.index is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((361, "NOR", "SIEMENS"), "subject 361; expected 1 to 360"),
        ((2, "XYZ", "SIEMENS"), "patient 002: unknown group 'XYZ'"),
        ((2, "NOR", "Hitachi"), "patient 002: unknown vendor 'Hitachi'"),
    ],
)
def test_a_faulty_row_is_refused(tmp_path, row, message):
    with pytest.raises(ValueError, match=message):
        read_mnms2(make_mnms2(tmp_path, [row]))


def test_missing_images_and_folders_are_named(tmp_path):
    make_mnms2(tmp_path, ROWS)
    (tmp_path / "dataset" / "001" / "001_SA_ES.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"Missing images: .*001_SA_ES.nii.gz"):
        read_mnms2(tmp_path)
    (tmp_path / "dataset" / "007").mkdir()
    with pytest.raises(ValueError, match="1 folders without a row: 007"):
        read_mnms2(tmp_path)


def test_a_root_without_the_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"found no 'dataset_information\.csv'"):
        read_mnms2(tmp_path)
