"""The files of a comparison."""

import csv
import io
import json

import pytest
from rich.console import Console

from fedcmr.reports.cells import HEADINGS, cells
from fedcmr.reports.comparing import comparison_table
from fedcmr.reports.writing import latex, markdown, terminal_table, write_table


@pytest.fixture
def table(repeats):
    return comparison_table(repeats)


def test_the_four_files_are_written(tmp_path, table):
    write_table(tmp_path / "table", table)
    names = sorted(path.name for path in (tmp_path / "table").iterdir())
    assert names == ["table.csv", "table.json", "table.md", "table.tex"]
    back = json.loads((tmp_path / "table/table.json").read_text())
    assert back == json.loads(json.dumps(table))


def test_a_table_read_from_its_file_is_written_the_same(tmp_path, table):
    write_table(tmp_path / "one", table)
    write_table(tmp_path / "two", json.loads((tmp_path / "one/table.json").read_text()))
    assert (tmp_path / "one/table.md").read_text() == (tmp_path / "two/table.md").read_text()
    assert (tmp_path / "one/table.tex").read_text() == (tmp_path / "two/table.tex").read_text()


def test_a_row_says_mean_deviation_difference_and_p(table):
    said = dict(zip(HEADINGS, cells(table["rows"][1]), strict=True))
    assert said["algorithm"] == "fedavg_lora"
    assert said["bal. acc. (personal)"].startswith("0.695 ± 0.0")
    assert said["bal. acc. (global)"] == "-"
    assert said["difference [95 %]"].startswith("+0.045 [+0.04")
    assert said["p (Holm)"] == "0.062"
    assert said["kB up"] == "2.0"


def test_markdown_has_a_row_for_each_algorithm_and_control(table):
    lines = markdown(table).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| med_dual_lora", "| fedavg_lora", "| local_only"]
    assert "| always disease | 0.500 | 0.500 | 0.800 |" in lines
    assert "| height weight | - | - | - |" in lines
    assert any("not pre-trained" in line for line in lines)
    assert any("80 % power" in line for line in lines)


def test_every_number_has_a_column_of_the_csv(tmp_path, table):
    write_table(tmp_path, table)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "table.csv").read_text())))
    assert float(rows[1]["metrics.mean.personal.balanced_accuracy.mean"]) == pytest.approx(0.695)
    assert rows[0]["seeds"] == "0 1 2 3 4 5"
    assert rows[0]["metrics.mean.global.auroc.mean"] == ""
    assert float(rows[1]["versus.0.difference"]) == pytest.approx(0.045)


def test_latex_has_as_many_cells_as_columns_and_no_bare_marks(table):
    text = latex(table)
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [line.count(" & ") for line in body] == [len(HEADINGS) - 1] * 4
    assert r"med\_dual\_lora" in text
    assert "±" not in body[1]


def test_the_terminal_table_names_algorithms_and_controls(table):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(terminal_table(table))
    text = console.export_text()
    assert "…" not in text
    assert "fedavg_lora" in text
    assert "(always disease)" in text
