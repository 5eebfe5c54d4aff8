"""Single frames of cines, for what learns from images without a diagnosis."""

from collections.abc import Iterable
from dataclasses import replace

from fedcmr.data.cases import Case
from fedcmr.data.unpacking import shape_of

ENDS, CINE = "ends", "cine"
WISHES = (ENDS, CINE)


def pairs_of(case: Case, wish: str) -> list[Case]:
    """The case as pairs of frames, each a case of its own whose `ed` and `es` are the two.

    Args:
        wish: "ends": ED and ES. "cine": frames k and k + n/2 of the n in the file, for k = 0 … n/2 - 1 (of an odd
            number the last frame is left out), in place of ED and ES.
    Raises: ValueError for another wish, or where the cine of a case is not in one file.
    """
    if wish not in WISHES:
        raise ValueError(f"Frames '{wish}'; expected one of {', '.join(WISHES)}.")
    if wish == ENDS:
        return [case]
    if case.ed.index is None:
        raise ValueError(
            f"Case {case.id}: {case.ed.image} holds one frame, not the cine; expected a 4-D file. "
            "Choose the frames 'ends'."
        )
    half = _count(case) // 2
    return [replace(case, ed=replace(case.ed, index=k), es=replace(case.ed, index=k + half)) for k in range(half)]


def all_pairs(cases: Iterable[Case], wish: str) -> list[Case]:
    """Those of every case, in the order of cases. Raises: ValueError as `pairs_of`."""
    return [pair for case in cases for pair in pairs_of(case, wish)]


def _count(case: Case) -> int:
    """Frames of the file, by its header; what is wrong with its voxels is said when they are read."""
    shape = shape_of(case.ed.image)
    if len(shape) != 4 or shape[3] < 2:
        raise ValueError(
            f"{case.ed.image}: image of shape {shape}; expected (x, y, slices, frames), two or more. Give the cine."
        )
    return shape[3]
