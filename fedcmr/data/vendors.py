"""Our reading of the paper's federation: all patients of ACDC, M&Ms and M&Ms-2, one client per scanner vendor.

Clients, splits and ACDC's place are not published; ACDC joins Siemens, the maker of both of its scanners. Any of the
three roots will do. Official parts are kept in the cases, but the default split is five folds, since the parts of
three challenges do not add up to one.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from fedcmr.data.acdc import read_acdc
from fedcmr.data.cases import VENDORS, Case, refuse_duplicates
from fedcmr.data.mnms import read_mnms
from fedcmr.data.mnms2 import read_mnms2


@dataclass(frozen=True)
class Knobs:
    """acdc, mnms, mnms2: folders of the official releases; "" leaves a data set out."""

    acdc: str = ""
    mnms: str = ""
    mnms2: str = ""


def build(knobs: Knobs) -> list[Case]:
    """All patients below the roots that are given. Raises: ValueError where none is given, or as the three readers."""
    if not (knobs.acdc or knobs.mnms or knobs.mnms2):
        raise ValueError("--data vendors: no root was given; expected one or more of data.acdc, data.mnms, data.mnms2.")
    cases: list[Case] = []
    if knobs.acdc:
        cases += [replace(case, client=VENDORS["siemens"]) for case in read_acdc(Path(knobs.acdc))]
    if knobs.mnms:
        cases += read_mnms(Path(knobs.mnms))
    if knobs.mnms2:
        cases += read_mnms2(Path(knobs.mnms2))
    return refuse_duplicates(cases)
