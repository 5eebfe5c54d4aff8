import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcmr.data.tables import match_rows, number, read_rows, read_text, sex, whole_number


def write(tmp_path, text: str):
    file = tmp_path / "table.csv"
    file.write_text(text, encoding="utf-8")
    return file


def test_rows_are_stripped_and_keyed_whatever_the_delimiter_and_mark(tmp_path):
    expected = [{"": "0", "code": "A1", "age": "50"}]
    assert read_rows(write(tmp_path, ",code,age\n0, A1 ,50\n,,\n\n"), ["code"]) == expected
    assert read_rows(write(tmp_path, "\ufeff;code;age\n0;A1;50\n"), ["code"]) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("code,age\nA1,50\n", "missing vendor"),
        ("code,vendor\nA1\n", r"row 2: 1 fields; expected 2"),
        ("code,vendor\n", "found no row"),
        ("", "missing code, vendor"),
        ("code,vendor,code\nA1,A,A2\n", "found column code more than once"),
        ("code,vendor\nA1," + "x" * 200_000 + "\n", r"line 2: no row of a table \(field larger than field limit"),
        ('code,vendor\nA1,"A\n' + "B1,B\n" * 50_000, r"no row of a table .* Are its quotes closed\?"),
        ("x" * 5000 + "\x1b[2J,code\n1,A1\n", r"found columns x{60}… and 4944 characters more, code; missing vendor"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_rows(write(tmp_path, text), ["code", "vendor"])


def test_a_missing_or_binary_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="cannot be read as text"):
        read_text(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="cannot be read as text"):
        read_text(tmp_path / "binary.csv")


def test_a_text_that_is_too_long_is_refused_unread(tmp_path):
    file = write(tmp_path, "code\n")
    os.truncate(file, 2**32)
    with pytest.raises(ValueError, match=r"table\.csv: cannot be read as text \(4294967296 bytes, expected at most"):
        read_text(file)


def test_old_line_ends_are_lines_all_the_same(tmp_path):
    assert read_rows(write(tmp_path, "code,age\rA1,50\r"), ["code"]) == [{"code": "A1", "age": "50"}]


@given(st.floats(50, 250))
def test_a_number_in_range_is_read_as_written(value):
    assert number(repr(value), "Height", 50, 250) == value


@pytest.mark.parametrize("text", ["", " ", "nan", "NaN", "N/A", "None"])
def test_an_unknown_number_is_none(text):
    assert number(text, "Height", 50, 250) is None


@pytest.mark.parametrize("text", ["tall", "1,80", "1.80", "inf", "-170"])
def test_a_number_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match="expected a number from 50 to 250"):
        number(text, "Height", 50, 250)


@given(st.integers(-999, 999))
def test_whole_numbers_may_be_written_with_a_point(value):
    assert whole_number(f"{value}.0", "ED") == whole_number(str(value), "ED") == value


@pytest.mark.parametrize("text", ["", "1.5", "one", "nan", "inf", "1e300", "9" * 5000])
def test_other_words_are_no_whole_number(text):
    with pytest.raises(ValueError, match="ED: found"):
        whole_number(text, "ED")


def test_sex_is_m_f_or_unknown():
    assert [sex(text, "row") for text in ("m", "F", "", "nan")] == ["M", "F", "", ""]
    with pytest.raises(ValueError, match="expected M, F or nothing"):
        sex("male", "row")


def test_more_than_ten_names_are_counted(tmp_path):
    with pytest.raises(ValueError, match=r"12 rows without files: 00, .*, 09 and 2 more\."):
        match_rows(tmp_path, [f"{i:02d}" for i in range(12)], {})


def test_a_code_that_climbs_is_a_row_without_files(tmp_path):
    codes = ["../../etc/passwd", "/etc/passwd", "..", "a\0b", "x" * 5000, "\x1b[2J"]
    with pytest.raises(ValueError, match=r"6 rows without files: .*, \.\., \.\./\.\./etc/passwd") as raised:
        match_rows(tmp_path, [*codes, "A1"], {"A1": tmp_path})
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 500
