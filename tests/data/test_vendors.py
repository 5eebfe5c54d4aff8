import pytest
from made_data import Row, make_acdc, make_mnms, make_mnms2

from fedcmr.data.vendors import Knobs, build


def test_three_data_sets_become_one_client_per_vendor_with_acdc_at_siemens(tmp_path):
    acdc = make_acdc(tmp_path / "acdc", ["NOR"], ["DCM"])
    mnms = make_mnms(tmp_path / "mnms", [Row("A0S9V9", "D")])
    mnms2 = make_mnms2(tmp_path / "mnms2", [(1, "NOR", "GE MEDICAL SYSTEMS")])
    cases = build(Knobs(str(acdc), str(mnms), str(mnms2)))
    assert [(case.client, case.source) for case in cases] == [
        ("vendorA", "acdc"),
        ("vendorA", "acdc"),
        ("vendorD", "mnms"),
        ("vendorC", "mnms2"),
    ]


def test_any_one_root_will_do_but_not_none(tmp_path):
    assert len(build(Knobs(acdc=str(make_acdc(tmp_path, ["NOR"]))))) == 1
    with pytest.raises(ValueError, match=r"data\.acdc, data\.mnms, data\.mnms2"):
        build(Knobs())
