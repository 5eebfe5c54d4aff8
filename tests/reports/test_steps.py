"""Rounds and summaries as flat names."""

from fedcmr.reports.steps import comparison, final, of_client, of_server


def test_a_client_hears_of_itself_alone(make_round):
    said = of_client(make_round(2), "vendorB")
    assert said["training/loss"] == 0.1 + 0.2
    assert said["weight"] == 0.25
    assert said["bytes/up"] == 100
    assert said["refused"] == 0
    assert said["validation/personal/balanced_accuracy"] == 0.58
    assert of_client(make_round(2), "vendorC")["refused"] == 1


def test_a_client_that_was_absent_has_nothing_to_say(make_round):
    assert of_client(make_round(1), "vendorD")["training/loss"] is None


def test_the_server_hears_of_everybody_and_of_all_patients_as_one(make_round):
    said = of_server(make_round(1), {"personal": {"balanced_accuracy": 0.6, "specificity": 0.5}})
    assert said["validation/personal/specificity/overall"] == 0.5
    assert said["validation/global/balanced_accuracy/vendorC"] == 0.54
    assert said["bytes/up"] == 302
    assert said["training/loss/vendorA"] == 0.7


def test_a_comparison_has_a_row_for_each_scope_view_and_control():
    one = {"personal": {"auroc": 0.7}, "global": {"auroc": None}}
    columns, rows = comparison(
        {"mean": one, "overall": one, "clients": {"site1": one}, "controls": {"vendor_only": {"auroc": 0.6}}}
    )
    assert columns == ["scope", "view", "auroc"]
    assert rows[:2] == [["mean", "personal", 0.7], ["mean", "global", None]]
    assert rows[-1] == ["control: vendor_only", "", 0.6]
    assert len(rows) == 2 * 3 + 1


def test_final_scores_leave_out_what_is_undefined():
    one = {"personal": {"auroc": 0.7}, "global": {"auroc": None}}
    assert final({"mean": one, "overall": one}, ("mean",)) == {"test/mean/personal/auroc": 0.7}
    assert final(one, ()) == {"test/personal/auroc": 0.7}
