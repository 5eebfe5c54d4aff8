"""The record of openings."""

import pytest
from probing.openings import Opening, begin, earlier, finish, read_openings

ONE = Opening("2026-01-02", "0.2.0", "ours", "ab", "digest-1", 60, 40)
OTHER = Opening("2026-03-04", "0.3.0", "newer", "cd", "digest-2", 60, 40)


def test_openings_are_kept_in_order_with_their_results(tmp_path):
    record = tmp_path / "openings.json"
    assert read_openings(record) == []
    for opening in (ONE, OTHER):
        begin(record, opening)
        finish(record, {"rows": {opening.weights: 1}})
    assert [one.weights for one in read_openings(record)] == ["ours", "newer"]
    assert earlier(record, "digest-1").result == {"rows": {"ours": 1}}


def test_the_same_weights_are_refused_a_second_result(tmp_path):
    record = tmp_path / "openings.json"
    begin(record, ONE)
    finish(record, {"rows": {}, "version": "0.2.0"})
    with pytest.raises(ValueError, match="have their result already"):
        begin(record, ONE)
    assert len(read_openings(record)) == 1


def test_an_opening_that_was_cut_short_counts_and_may_be_gone_through_again(tmp_path):
    record = tmp_path / "openings.json"
    begin(record, ONE)
    assert earlier(record, "digest-1") is None
    begin(record, ONE)
    finish(record, {"rows": {}, "version": "0.2.0"})
    assert [bool(one.result) for one in read_openings(record)] == [False, True]
