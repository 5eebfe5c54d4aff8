"""What is seen while a federation trains."""

import io

from rich.console import Console

from fedcmr.reports.progress import Progress


def shown(terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=120, color_system=None), text


def test_elsewhere_than_on_a_terminal_a_round_is_one_line(make_round):
    console, text = shown(terminal=False)
    with Progress(3, ["vendorA", "vendorB", "vendorC"], console) as progress:
        progress.visited("vendorA", 0.7)
        progress.closed(make_round(1), 2.0)
        progress.closed(make_round(2), 4.0)
    first, second = text.getvalue().splitlines()
    assert first.startswith(
        "round 1/3 | loss vendorA 0.700, vendorB 0.300, vendorC 0.000 | validation balanced accuracy"
    )
    assert first.endswith("2.0 s, 4 s left")
    assert "vendorB 0.580" in second
    assert second.endswith("4.0 s, 3 s left")


def test_folds_are_counted_and_their_rounds_are_still_to_come(make_round):
    console, text = shown(terminal=False)
    with Progress(2, ["vendorA"], console, folds=3) as progress:
        progress.closed(make_round(2, fold=1), 40.0)
    assert text.getvalue().startswith("fold 2/3, round 2/2 |")
    assert "1 min 20 s left" in text.getvalue()


def test_the_live_table_has_a_row_for_each_client_and_for_whoever_visits(make_round):
    console, text = shown(terminal=True)
    with Progress(2, ["vendorA", "vendorB"], console) as progress:
        progress.visited("pooled", 0.61)
        progress.closed(make_round(1), 1.0)
        progress.visited("vendorA", 0.5)
    last = text.getvalue()
    assert "round 2 of 2, 1 s left" in last
    assert "pooled" in last
    assert "0.540" in last  # validation balanced accuracy of round 1


def test_after_the_last_round_nobody_is_training(make_round):
    console, text = shown(terminal=True)
    progress = Progress(2, ["vendorA"], console)
    progress.closed(make_round(2), 1.0)
    console.print(progress.table())
    assert "round 2 of 2, finished" in text.getvalue()
    (row,) = [line for line in text.getvalue().splitlines() if "vendorA" in line]
    assert "training" not in row
