"""Tables that others wrote: read whole; what does not fit is refused, with file, row and remedy named."""

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fedcmr.data.cases import listed, repeated, shown
from fedcmr.data.files import is_there, reading

UNKNOWN = ("", "nan", "na", "n/a", "none", "unknown")
MOST_BYTES = 2**22
"""Of a text: M&Ms' table of 375 patients takes about 30 kB. Our choice."""


def read_text(file: Path) -> str:
    """A text file in UTF-8, with or without byte-order mark.

    Raises: ValueError where it is missing, too long or not text.
    """
    with reading(file, "text", MOST_BYTES) as stream:
        content = stream.read(MOST_BYTES)
    try:
        return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: cannot be read as text ({error}). Save it as UTF-8.") from error


def read_rows(file: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV table (comma or semicolon), stripped, keyed by column.

    Args:
        columns: names that must be in the header; others are read too.
    Raises: ValueError where the file is missing, a column is missing or there twice, a row has another number of
        fields or cannot be told from the next, or there is no row.
    """
    lines = _lines(file, read_text(file))
    names = [name.strip() for name in next(lines, [])]
    missing = [name for name in columns if name not in names]
    if missing:
        found = listed([shown(name) for name in names], most=2 * len(columns))
        raise ValueError(f"{file}: found columns {found}; missing {', '.join(missing)}. Restore the official table.")
    twice = [name for name in repeated(names) if name in columns]
    if twice:
        raise ValueError(f"{file}: found column {', '.join(twice)} more than once. Restore the official table.")
    rows = []
    for number_of_line, fields in enumerate(lines, start=2):
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(names):
            raise ValueError(
                f"{file}, row {number_of_line}: {len(fields)} fields; expected {len(names)}. Correct the row."
            )
        rows.append({name: field.strip() for name, field in zip(names, fields, strict=True)})
    if not rows:
        raise ValueError(f"{file}: found no row; expected one row a patient. Restore the official table.")
    return rows


def _lines(file: Path, text: str) -> Iterator[list[str]]:
    header = text.partition("\n")[0]
    lines = csv.reader(io.StringIO(text), delimiter=";" if header.count(";") > header.count(",") else ",")
    try:
        yield from lines
    except csv.Error as error:
        raise ValueError(
            f"{file}, line {lines.line_num}: no row of a table ({error}). Are its quotes closed? Correct the line."
        ) from error


def release_folder(root: Path, inner: str, holds: str) -> Path:
    """The folder of a release, be it `root` or, as its archive unpacks, `root/inner`.

    Args:
        holds: file or folder by which the release is known.
    Raises: ValueError where neither holds it.
    """
    for folder in (root, root / inner):
        if is_there(folder / holds):
            return folder
    raise ValueError(f"{root}: found no '{holds}', there or in '{inner}'. Set data.root to the folder that holds it.")


def number(text: str, where: str, least: float, most: float) -> float | None:
    """A number in [least, most]; None where the table says nothing. Raises: ValueError otherwise, naming `where`."""
    if text.strip().lower() in UNKNOWN:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise ValueError(
            f"{where}: found '{shown(text)}'; expected a number from {least:g} to {most:g}, or nothing. Correct it."
        )
    return value


def whole_number(text: str, where: str) -> int:
    """A whole number ("12" or "12.0"). Raises: ValueError otherwise, naming `where`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # beyond 2^53 a float is no longer every whole number
    if not value.is_integer() or abs(value) > 2**53:
        raise ValueError(f"{where}: found '{shown(text)}'; expected a whole number. Correct it.")
    return int(value)


def sex(text: str, where: str) -> str:
    """ "M", "F" or "" where the table says nothing. Raises: ValueError otherwise, naming `where`."""
    word = text.strip().upper()
    if word.lower() in UNKNOWN:
        return ""
    if word not in ("M", "F"):
        raise ValueError(f"{where}: found '{shown(text)}'; expected M, F or nothing. Correct it.")
    return word


def match_rows(table: Path, rows: Sequence[str], folders: Mapping[str, Path]) -> None:
    """Checks that table and disk hold the same patients, each once in the table.

    Args:
        table: the table's file, for the message.
        rows: codes in the table.
        folders: code -> where its files lie.
    Raises: ValueError, naming up to ten codes of each kind: rows given twice, rows without files, files without a
        row.
    """
    twice = repeated(rows)
    no_files = sorted(set(rows) - set(folders))
    no_row = sorted(set(folders) - set(rows))
    faults = [
        f"{len(codes)} {what}: {listed([shown(code) for code in codes])}"
        for codes, what in (
            (twice, "duplicate patients"),
            (no_files, "rows without files"),
            (no_row, "folders without a row"),
        )
        if codes
    ]
    if faults:
        raise ValueError(
            f"{table}: {'; '.join(faults)}. Table and folders must name the same patients; mend whichever is wrong."
        )
