"""Finding one's way in a summary."""

import pytest

from fedcmr.reports.reading import at, controls_of, metric_names, number

SUMMARY = {
    "overall": {"personal": {"auroc": 0.5, "n": 3, "f1": None}},
    "controls": {
        "vendor_only": {"auroc": 0.6},
        "height_weight": None,
        "heart_blanked": {"overall": {"personal": {"auroc": 0.4}}},
    },
    "seed": 0,
    "done": True,
}


def test_a_path_leads_to_its_branch_or_to_nothing():
    assert at(
        SUMMARY,
        "overall",
        "personal",
    ) == {"auroc": 0.5, "n": 3, "f1": None}
    assert at(SUMMARY, "controls", "height_weight") == {}
    assert at(SUMMARY, "mean", "personal") == {}
    with pytest.raises(ValueError, match="'seed' is 0, expected a group"):
        at(SUMMARY, "seed")


def test_a_number_is_a_number_or_none():
    assert number(SUMMARY, "overall", "personal", "auroc") == 0.5
    assert number(SUMMARY, "seed") == 0.0
    assert number(SUMMARY, "overall", "personal", "f1") is None
    assert number(SUMMARY, "done") is None
    assert number(SUMMARY, "mean", "personal", "auroc") is None


def test_a_control_with_scopes_is_read_over_all_patients():
    assert controls_of(SUMMARY) == {"vendor_only": {"auroc": 0.6}, "height_weight": {}, "heart_blanked": {"auroc": 0.4}}


def test_metrics_keep_their_order():
    assert metric_names(SUMMARY) == ["auroc", "n", "f1"]
