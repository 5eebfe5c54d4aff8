"""table.json against values worked out by hand."""

from dataclasses import replace

import pytest

from fedcmr.reports.calibrating import calibration
from fedcmr.reports.comparing import Repeats, comparison_table


def test_a_row_has_means_over_seeds(repeats):
    row = comparison_table(repeats)["rows"][0]
    # vendorA .70 .71 .72 twice, vendorB .60 .58 in turn
    found = row["metrics"]["clients"]["vendorA"]["personal"]["balanced_accuracy"]
    assert found["mean"] == pytest.approx(0.71)
    assert found["sd"] == pytest.approx((4 * 0.01**2 / 5) ** 0.5)
    assert row["metrics"]["mean"]["personal"]["balanced_accuracy"]["mean"] == pytest.approx((0.71 + 0.59) / 2)
    assert row["metrics"]["mean"]["global"]["auroc"] == {"mean": None, "sd": None, "ci95": None}
    assert row["worst_client"]["personal"]["balanced_accuracy"]["mean"] == pytest.approx(0.59)
    assert row["seeds"] == [0, 1, 2, 3, 4, 5]
    assert row["bytes_up"] == 8000
    assert row["bytes_up_per_client_and_round"] == 2000
    assert row["seconds"] == 12.5


def test_every_other_row_is_compared_with_the_first(repeats):
    table = comparison_table(repeats)
    assert table["reference"] == "med_dual_lora"
    assert table["rows"][0]["versus"] == []
    (better,), (same,) = (row["versus"] for row in table["rows"][1:])
    assert better["algorithm"] == "med_dual_lora"
    assert better["metric"] == "mean.personal.balanced_accuracy"
    assert better["difference"] == pytest.approx(0.045)
    assert better["p"] == pytest.approx(2 / 64)
    assert better["p_corrected"] == pytest.approx(4 / 64)
    assert better["test"] == "exact sign-flip over 6 federations, Holm"
    assert (same["difference"], same["p"], same["p_corrected"]) == (0, 1, 1)


def test_with_few_seeds_there_is_no_p_but_a_reason(repeats):
    few = [Repeats(one.algorithm, one.summaries[:3], one.seconds[:3]) for one in repeats]
    table = comparison_table(few)
    assert table["rows"][1]["versus"][0]["p"] is None
    assert table["rows"][1]["versus"][0]["test"].startswith("no test: 3 pairs")
    assert table["detectable_difference"] > 0


def test_only_phantoms_have_a_primary_endpoint(repeats):
    assert comparison_table(repeats)["primary"]["metric"] == "mean.personal.balanced_accuracy"
    assert comparison_table(repeats, "none")["primary"] is None


def test_controls_and_provenance_stand_beside_the_rows(repeats):
    table = comparison_table(repeats)
    assert table["controls"]["always_disease"]["accuracy"] == pytest.approx(0.8)
    assert table["controls"]["height_weight"] == {}
    assert table["provenance"] == ["Backbone tiny: seeded random weights, not pre-trained."]


def test_one_seed_of_one_algorithm_is_a_table_too(repeats):
    table = comparison_table([Repeats("med_dual_lora", repeats[0].summaries[:1], [3.0])])
    assert table["detectable_difference"] is None
    assert table["rows"][0]["metrics"]["mean"]["personal"]["auroc"]["ci95"] is None


def test_algorithms_that_ran_other_seeds_cannot_be_paired(repeats):
    other = Repeats("local_only", repeats[2].summaries[:5], repeats[2].seconds[:5])
    with pytest.raises(ValueError, match=r"local_only ran seeds \[0, 1, 2, 3, 4\], med_dual_lora \[0, 1, 2, 3, 4, 5\]"):
        comparison_table([repeats[0], other])
    with pytest.raises(ValueError, match="Nothing to compare"):
        comparison_table([])


def test_clients_are_spread_from_their_worst_to_their_best(repeats):
    row = comparison_table(repeats)["rows"][0]
    # vendorA .70 .71 .72 twice, vendorB .60 .58 in turn: .10 .13 .12 .12 .11 .14
    assert row["spread_of_clients"]["personal"]["balanced_accuracy"]["mean"] == pytest.approx(0.12)


def test_the_reported_loss_of_aggregation_is_a_mean_over_rounds_and_seeds(repeats, make_round):
    def rounds(*errors: float | None):
        return [replace(make_round(number), aggregation={"error": error}) for number, error in enumerate(errors, 1)]

    one = replace(repeats[0], rounds=[rounds(0.2, 0.4), rounds(None, 0.5)])
    found = comparison_table([one])["rows"][0]["aggregation"]
    assert found["error"]["mean"] == pytest.approx(0.4)
    assert found["cosine"]["mean"] is None


def test_calibration_is_of_the_last_round_and_of_each_view(repeats, rows):
    found = comparison_table([replace(repeats[0], predictions=[rows])])["rows"][0]["calibration"]
    personal = [row.prediction for row in rows if row.round == "last" and row.prediction.view == "personal"]
    expected = calibration([one.label for one in personal], [one.probabilities[1] for one in personal])
    assert (found["personal"]["intercept"]["mean"], found["personal"]["slope"]["mean"]) == pytest.approx(expected)
    assert found["global"]["intercept"]["mean"] > found["personal"]["intercept"]["mean"], "0.05 lower throughout"


def test_further_controls_are_means_over_seeds_and_empty_where_a_seed_has_none(repeats):
    more = {"volumes_and_ef": [{"auroc": 0.8}, {"auroc": 0.9}], "absent": [{"auroc": 0.8}, None]}
    found = comparison_table(repeats, more=more)["controls"]
    assert found["volumes_and_ef"] == {"auroc": pytest.approx(0.85)}
    assert found["absent"] == {}
    assert "always_disease" in found
