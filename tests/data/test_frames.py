import pytest
from made_data import Row, make_acdc, make_mnms

from fedcmr.data.acdc import read_acdc
from fedcmr.data.frames import all_pairs, pairs_of
from fedcmr.data.mnms import read_mnms


@pytest.mark.parametrize(("frames", "expected"), [(4, [(0, 2), (1, 3)]), (5, [(0, 2), (1, 3)])])
def test_a_cine_is_taken_as_pairs_half_a_cycle_apart(tmp_path, frames, expected):
    (case,) = read_mnms(make_mnms(tmp_path, [Row("A1")], frames=frames))
    assert [(pair.ed.index, pair.es.index) for pair in pairs_of(case, "cine")] == expected
    assert all(pair.id == case.id and pair.ed.image == case.ed.image for pair in pairs_of(case, "cine"))


def test_the_ends_are_the_case_itself(tmp_path):
    cases = read_mnms(make_mnms(tmp_path, [Row("A1"), Row("B1")]))
    assert all_pairs(cases, "ends") == cases


def test_a_cine_that_is_not_in_one_file_is_refused(tmp_path):
    (case,) = read_acdc(make_acdc(tmp_path, ["NOR"]))
    with pytest.raises(ValueError, match="holds one frame"):
        pairs_of(case, "cine")


def test_a_truncated_header_is_refused(tmp_path):
    (case,) = read_mnms(make_mnms(tmp_path, [Row("A1")]))
    case.ed.image.write_bytes(case.ed.image.read_bytes()[:40])
    with pytest.raises(ValueError, match="header cannot be read"):
        pairs_of(case, "cine")


def test_another_wish_is_refused(tmp_path):
    (case,) = read_mnms(make_mnms(tmp_path, [Row("A1")]))
    with pytest.raises(ValueError, match="expected one of ends, cine"):
        pairs_of(case, "all")
