"""A folder is a registry: each module in it that defines `build` is an entry, under its file's name.

Listing reads source text only, so that `--help` and refusals of unknown names import no part.
"""

import ast
import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One member of a registry.

    Args:
        name: the file's name.
        knobs: its frozen dataclass of knobs.
        build: knobs (and, for an engine, the parts) -> what it makes.
        module: for declarations beside `build`, such as an algorithm's FIDELITY.
    """

    name: str
    knobs: type
    build: Callable[..., Any]
    module: ModuleType


def names(folder: str) -> list[str]:
    """Names of all entries of fedcmr/<folder>, sorted. A sub-folder counts where its `__init__.py` defines `build`."""
    found = []
    for path in sorted((ROOT / folder).iterdir()):
        source = path / "__init__.py" if path.is_dir() else path
        if source.suffix == ".py" and source.exists() and _defines_build(source):
            found.append(path.stem)
    return found


def entry(folder: str, name: str) -> Entry:
    """The entry `name` of fedcmr/<folder>.

    Raises: ValueError with the nearest known name where there is none.
    """
    known = names(folder)
    if name not in known:
        raise ValueError(unknown(folder.rstrip("s"), name, known))
    module = importlib.import_module(f"fedcmr.{folder}.{name}")
    return Entry(name, module.Knobs, module.build, module)


def caption(folder: str, name: str) -> str:
    """First line of the entry's docstring, read without importing it."""
    path = ROOT / folder / f"{name}.py"
    tree = ast.parse((path if path.exists() else ROOT / folder / name / "__init__.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n")[0]


def unknown(what: str, met: str, known: Sequence[str]) -> str:
    """One sentence that refuses an unknown name and offers the nearest one."""
    near = difflib.get_close_matches(met.lower(), [name.lower() for name in known], n=1, cutoff=0.5)
    hint = next((f" Did you mean '{name}'?" for name in known if near and name.lower() == near[0]), "")
    return f"Unknown {what} '{met}'; known: {', '.join(known) or 'none'}.{hint}"


def _defines_build(source: Path) -> bool:
    tree = ast.parse(source.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name == "build" for node in tree.body)
