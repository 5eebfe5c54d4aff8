"""Finding one's way in a summary as it was read from its file."""

from collections.abc import Mapping


def at(tree: Mapping[str, object], *path: str) -> Mapping[str, object]:
    """The branch of a summary at this path; an empty one where there is none, or null.

    Raises: ValueError where a number or a text stands there.
    """
    branch: object = tree
    for depth, word in enumerate(path):
        branch = branch.get(word) if isinstance(branch, Mapping) else None
        if branch is None:
            return {}
        if not isinstance(branch, Mapping):
            raise ValueError(f"Summary: '{'.'.join(path[: depth + 1])}' is {branch!r}, expected a group of values.")
    assert isinstance(branch, Mapping)
    return branch


def number(tree: Mapping[str, object], *path: str) -> float | None:
    """The number of a summary at this path; None where there is none, or null."""
    value = at(tree, *path[:-1]).get(path[-1])
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def controls_of(summary: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """control -> its metrics over all test patients; empty metrics where it is null.

    A control that is scored like a model, such as the blanked heart, has scopes and views; of these, overall and
    personal.
    """
    found = {name: at(summary, "controls", name) for name in at(summary, "controls")}
    return {name: at(said, "overall", "personal") if "overall" in said else said for name, said in found.items()}


def metric_names(summary: Mapping[str, object]) -> list[str]:
    """Names of the metrics of a summary: as computed, or in the order of the alphabet where it was read from a file."""
    return list(at(summary, "overall", "personal"))
