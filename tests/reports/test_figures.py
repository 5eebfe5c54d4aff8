"""The pictures of a comparison."""

import pytest

from fedcmr.reports.comparing import Repeats, comparison_table
from fedcmr.reports.figures import draw_learning, draw_scores


def test_scores_are_drawn_as_png_and_svg_and_equal_tables_draw_equally(tmp_path, repeats):
    table = comparison_table(repeats)
    png, svg = draw_scores(tmp_path, table)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "fedavg_lora" in svg.read_text() or "<use" in svg.read_text()
    again = draw_scores(tmp_path / "again", table)
    assert svg.read_bytes() == again[1].read_bytes()


def test_one_seed_and_an_undefined_view_can_be_drawn(tmp_path, repeats):
    one = comparison_table([Repeats("med_dual_lora", repeats[0].summaries[:1], [1.0])])
    assert all(path.exists() for path in draw_scores(tmp_path, one))
    assert all(path.exists() for path in draw_scores(tmp_path, one, view="global"))


@pytest.mark.parametrize("count", [1, 3])
def test_learning_curves_are_drawn(tmp_path, make_round, count):
    runs = {name: [[make_round(n) for n in range(1, count + 1)]] * 2 for name in ("med_dual_lora", "local_only")}
    png, svg = draw_learning(tmp_path, runs)
    assert png.stat().st_size > 1000
    assert svg.exists()
