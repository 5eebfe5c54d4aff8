"""Bad words: each function takes the bytes of a sound Info.cfg or table and a generator, returns those of a bad one."""

from collections.abc import Callable

from fuzzing_images import Content, empty, flipped_bits, noise, truncated
from numpy.random import Generator

NUMBERS = ("", "-1", "0", "13", "1000", "1e300", "-1e300", "1e400", "nan", "inf", "1.5", "one", "1_0", "٣", "9" * 400)
CODES = (
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "~",
    "a/b",
    "a\\b",
    "a\x00b",
    "x" * 5000,
    "",
    "C:\\nul",
    "\x1b[2J",
    "A0S9V9/../A0S9V9",
    "\u202eA0S9V9",
    "%s%n",
    "$HOME",
)
OTHER_KEYS = ("Group", "ED", "Größe", "\x1b[31m", "x" * 3000, "__class__")
DELIMITERS = ("\t", "|", ";", " ", ",,", "\x00")
LONG = 300_000
MANY = 40_000
HUGE_BYTES = 40 * 2**20


def other_number(content: bytes, random: Generator) -> bytes:
    """ED, ES, the number of frames, height or weight is another word."""
    key = random.choice(("ED", "ES", "NbFrame", "Height", "Weight"))
    return _with_value(content, str(key), str(random.choice(NUMBERS)))


def other_group(content: bytes, random: Generator) -> bytes:
    return _with_value(content, "Group", str(random.choice(CODES)))


def without_a_line(content: bytes, random: Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    del lines[int(random.integers(len(lines)))]
    return b"".join(lines)


def a_line_twice(content: bytes, random: Generator) -> bytes:
    lines = content.splitlines(keepends=True)
    return content + lines[int(random.integers(len(lines)))]


def another_line(content: bytes, random: Generator) -> bytes:
    return content + f"{random.choice(OTHER_KEYS)}: 3\n".encode()


def other_separator(content: bytes, random: Generator) -> bytes:
    return content.replace(b":", str(random.choice(("=", " ", "::", "\x00", ""))).encode())


def phases_exchanged(content: bytes, random: Generator) -> bytes:
    return content.replace(b"ED", b"E?").replace(b"ES", b"ED").replace(b"E?", b"ES")


def without_a_column(content: bytes, random: Generator) -> bytes:
    table = _cells(content)
    place = int(random.integers(len(table[0])))
    return _written([row[:place] + row[place + 1 :] for row in table])


def a_column_twice(content: bytes, random: Generator) -> bytes:
    table = _cells(content)
    place = int(random.integers(len(table[0])))
    return _written([[*row, row[place] if number == 0 else "1"] for number, row in enumerate(table)])


def another_column(content: bytes, random: Generator) -> bytes:
    return _written([[*row, str(random.choice(CODES))] for row in _cells(content)])


def a_row_twice(content: bytes, random: Generator) -> bytes:
    return a_line_twice(content, random)


def other_delimiter(content: bytes, random: Generator) -> bytes:
    return content.replace(b",", str(random.choice(DELIMITERS)).encode())


def open_quotes(content: bytes, random: Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + b'"' + content[place:]


def huge_field(content: bytes, random: Generator) -> bytes:
    return _with_cell(content, random, "x" * LONG)


def huge_field_in_quotes(content: bytes, random: Generator) -> bytes:
    return _with_cell(content, random, '"' + "x\n" * LONG + '"')


def climbing_code(content: bytes, random: Generator) -> bytes:
    """The patient's code leads out of the root, or is no name of a folder."""
    table = _cells(content)
    column = next(place for place, name in enumerate(table[0]) if "code" in name.lower())
    table[int(random.integers(1, len(table)))][column] = str(random.choice(CODES))
    return _written(table)


def other_cell(content: bytes, random: Generator) -> bytes:
    return _with_cell(content, random, str(random.choice((*NUMBERS, *CODES))))


def many_rows(content: bytes, random: Generator) -> bytes:
    """Forty thousand patients who are nowhere."""
    last = content.splitlines()[-1].decode()
    code = _cells(content)[-1][0 if b"SUBJECT" in content else 1]
    return content + "\n".join(last.replace(code, f"{code}{number}") for number in range(MANY)).encode()


def header_alone(content: bytes, random: Generator) -> bytes:
    return content.splitlines(keepends=True)[0]


def old_line_ends(content: bytes, random: Generator) -> bytes:
    """Carriage returns alone."""
    return content.replace(b"\r", b"").replace(b"\n", b"\r")


def latin(content: bytes, random: Generator) -> bytes:
    return content + "Prénom: Zoë".encode("latin-1")


def wide_characters(content: bytes, random: Generator) -> bytes:
    return content.decode().encode(str(random.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32"))))


def zeros_between(content: bytes, random: Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + bytes(int(random.integers(1, 9))) + content[place:]


def very_long_line(content: bytes, random: Generator) -> bytes:
    return content + b"x" * (16 * LONG)


def huge(content: bytes, random: Generator) -> bytes:
    return content + b"\n" * HUGE_BYTES


SHARED: tuple[Content, ...] = (
    truncated,
    empty,
    noise,
    flipped_bits,
    without_a_line,
    a_line_twice,
    latin,
    wide_characters,
    zeros_between,
    very_long_line,
    old_line_ends,
)
INFOS: tuple[Content, ...] = (
    *SHARED,
    other_number,
    other_group,
    another_line,
    other_separator,
    phases_exchanged,
)
TABLES: tuple[Content, ...] = (
    *SHARED,
    without_a_column,
    a_column_twice,
    another_column,
    other_delimiter,
    open_quotes,
    huge_field,
    huge_field_in_quotes,
    climbing_code,
    other_cell,
    header_alone,
)
HEAVY: tuple[Callable[[bytes, Generator], bytes], ...] = (many_rows, huge)
"""For a table; too slow to be drawn by the thousand."""


def _with_value(content: bytes, key: str, value: str) -> bytes:
    lines = content.decode().splitlines()
    return "\n".join(f"{key}: {value}" if line.startswith(f"{key}:") else line for line in lines).encode()


def _cells(content: bytes) -> list[list[str]]:
    """Rows of fields; the made tables quote nothing."""
    return [line.split(",") for line in content.decode().splitlines()]


def _with_cell(content: bytes, random: Generator, word: str) -> bytes:
    table = _cells(content)
    row = table[int(random.integers(len(table)))]
    row[int(random.integers(len(row)))] = word
    return _written(table)


def _written(table: list[list[str]]) -> bytes:
    return "\n".join(",".join(row) for row in table).encode()
