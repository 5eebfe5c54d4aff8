"""One patient is one `Case`: where the two frames lie, whose client the patient is, and what the table says.

Every reader (`acdc.py`, `mnms.py`, `mnms2.py`, `vendors.py`, `phantom.py`) returns a list of cases. A reader looks at
tables and at which files exist; it opens no image.
"""

import difflib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VENDORS: Mapping[str, str] = {"siemens": "vendorA", "philips": "vendorB", "ge": "vendorC", "canon": "vendorD"}
PARTS = ("training", "validation", "testing")


@dataclass(frozen=True)
class Frame:
    """One cardiac phase in a file.

    Args:
        image: NIfTI file.
        mask: where the mask of this frame would be; None where there is none. Never opened for detection.
        index: frame of a 4-D file, from 0; None for a 3-D file.
    """

    image: Path
    mask: Path | None
    index: int | None


@dataclass(frozen=True)
class Case:
    """One patient: end-diastole (ED) and end-systole (ES), one client.

    Args:
        id: the patient's code, unique in a list of cases.
        client: "vendorA" … "vendorD", "site1" …, or "hospital" before a hospital is divided into sites.
        group: diagnosis of the table, "NOR" for healthy; "" where the data set publishes none.
        ed, es: the two frames.
        part: official part, one of "training", "validation", "testing".
        mask_labels: values of right ventricle, myocardium and left ventricle in the mask files.
        source: "acdc", "mnms", "mnms2" or "phantom".
        vendor, centre, sex: as the table says, "" where it does not. Sex is "M" or "F".
        age_years, height_cm, weight_kg: None where the table does not say.
        patient: equals id, or the common code of two studies of one person; a split keeps one patient on one side.
    """

    id: str
    client: str
    group: str
    ed: Frame
    es: Frame
    part: str
    mask_labels: tuple[int, int, int]
    source: str
    vendor: str = ""
    centre: str = ""
    sex: str = ""
    age_years: float | None = None
    height_cm: float | None = None
    weight_kg: float | None = None
    patient: str = ""

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            raise ValueError(f"Case {self.id}: part '{self.part}'; expected one of {', '.join(PARTS)}.")
        if not self.patient:
            object.__setattr__(self, "patient", self.id)


def client_name(text: str, known: Collection[str] = ()) -> str:
    """A client's name in the house's spelling: `vendorA` for "vendora", "Siemens" or "SIEMENS", `site2` for "Site2".

    Args:
        text: what was typed.
        known: the clients that the data has; empty where any vendor or site is well-formed enough.
    Raises: ValueError, naming the nearest known client, where the text is no client or not one of `known`.
    """
    word = text.strip().lower()
    names = {name.lower(): name for name in (*VENDORS.values(), *known)} | dict(VENDORS)
    if re.fullmatch(r"site[1-9][0-9]*", word):
        names[word] = word
    found = names.get(word)
    if found is not None and (not known or found in known):
        return found
    choices = sorted(known) if known else sorted(VENDORS.values())
    spellings = {spelling: name for spelling, name in names.items() if name in choices}
    near = difflib.get_close_matches(word, spellings, n=1, cutoff=0.0)
    hint = f" Did you mean '{spellings[near[0]]}'?" if near else ""
    raise ValueError(f"Unknown client '{text}'; the data has {', '.join(choices)}.{hint}")


def vendor_client(vendor: str, where: str) -> str:
    """The client of a scanner vendor, from a letter A-D or from a maker's name as in a DICOM header.

    Args:
        vendor: "A", "SIEMENS", "Philips Medical Systems", "GE MEDICAL SYSTEMS", "Canon", …, upper or lower case.
        where: file and row, for the message.
    Raises: ValueError where the vendor is none of the four.
    """
    word = vendor.strip().lower()
    if word in ("a", "b", "c", "d"):
        return f"vendor{word.upper()}"
    maker = word.split(" ")[0]
    if maker not in VENDORS:
        raise ValueError(
            f"{where}: unknown vendor '{shown(vendor)}'; expected A, B, C, D or {', '.join(VENDORS)}. "
            "Correct the table."
        )
    return VENDORS[maker]


def cache_root() -> Path:
    """Where prepared data is kept: `$FEDCMR_CACHE`, else `$XDG_CACHE_HOME/fedcmr`, else `~/.cache/fedcmr`."""
    if own := os.environ.get("FEDCMR_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "fedcmr"
    return Path.home() / ".cache" / "fedcmr"


def refuse_duplicates(cases: Sequence[Case]) -> list[Case]:
    """The same cases. Raises: ValueError where two of them have one id."""
    twice = repeated([case.id for case in cases])
    if twice:
        raise ValueError(f"Duplicate patients: {listed(twice)}. Each patient must be there once; remove the copies.")
    return list(cases)


def repeated(names: Iterable[str]) -> list[str]:
    """The names that stand there more than once, sorted, each once."""
    return sorted(name for name, times in Counter(names).items() if times > 1)


def listed(names: Sequence[str], most: int = 10) -> str:
    """Names for a message: every one up to `most`, then how many more."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def shown(word: str, most: int = 60) -> str:
    """A word of somebody's file for a message: cut to `most` characters, and what would act on a terminal escaped."""
    rest = len(word) - most
    cut = word[:most] + (f"… and {rest} characters more" if rest > 0 else "")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)
