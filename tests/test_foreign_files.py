"""Nothing that a file says is carried out: no pickle of others is opened, and no text of others is evaluated."""

import ast
import hashlib
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from test_floors import FILES, TREES

from fedcmr.config import about, gather
from fedcmr.data.store import Store
from fedcmr.data.tables import read_text
from fedcmr.data.unpacking import open_nifti
from fedcmr.federation.door import unpack
from fedcmr.federation.state import HASHES, State
from fedcmr.models import tiny
from fedcmr.models.backbone import seeded
from fedcmr.models.mapping import read_checkpoint
from fedcmr.models.prefixes import Prefixes
from fedcmr.models.shape import BackboneShape
from fedcmr.reports.adapters import read_adapters
from fedcmr.reports.journal import read_predictions, read_rounds, read_summary

UNSAFE = {
    *(f"{library}.{name}" for library in ("pickle", "dill", "cloudpickle", "marshal") for name in ("load", "loads")),
    *(f"yaml.{name}" for name in ("load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all")),
    *("pickle.Unpickler", "joblib.load", "shelve.open", "pandas.read_pickle", "torch.jit.load", "os.system"),
    *("eval", "exec", "compile", "__import__"),
}
NEEDED = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}
"""Calls that are safe with this word alone."""


def unsafe_calls(tree: ast.AST) -> Iterator[str]:
    """Calls that would carry out what a file says, each with its line."""
    meant: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            meant |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            meant |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, dot, rest = ast.unparse(node.func).partition(".")
        name = meant.get(head, head) + dot + rest
        words = {word.arg: ast.unparse(word.value) for word in node.keywords}
        word, value = NEEDED.get(name, ("", None))
        # Lightning hands `weights_only` on
        if "ckpt_path" in words or name.endswith("load_from_checkpoint"):
            word, value = "weights_only", True
        if name in UNSAFE or (word and words.get(word) != str(value)):
            yield f"line {node.lineno}: {name}"


@pytest.mark.parametrize("module", FILES)
def test_no_module_unpickles_or_evaluates(module: str) -> None:
    assert not list(unsafe_calls(TREES[module]))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.loads(x)",
        "from pickle import loads as read\nread(x)",
        "import torch\ntorch.load(x)",
        "import torch\ntorch.load(x, weights_only=False)",
        "import torch\ntorch.load(x, weights_only=safe)",
        "import numpy as np\nnp.load(x, allow_pickle=True)",
        "import yaml\nyaml.load(x, yaml.Loader)",
        "eval(x)",
        "exec(x)",
        "trainer.fit(model, ckpt_path=x)",
        "Model.load_from_checkpoint(x)",
    ],
)
def test_the_search_finds_what_it_is_for(code: str) -> None:
    assert list(unsafe_calls(ast.parse(code)))


def test_the_search_leaves_the_rest_alone() -> None:
    code = "import torch\ntorch.load(x, weights_only=True)\nmodel.eval()\njson.loads(x)\nre.compile(x)"
    assert not list(unsafe_calls(ast.parse(code)))


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.file,)


FORMS: dict[str, Callable[[Touch, Path], None]] = {
    "bare": lambda touch, file: file.write_bytes(pickle.dumps(touch, protocol=2)),
    "torch": lambda touch, file: torch.save({"model": touch, "state_dict": touch, "curves": touch}, file),
    "old torch": lambda touch, file: torch.save({"model": touch}, file, _use_new_zipfile_serialization=False),
    "yaml": lambda touch, file: file.write_text(f"about: !!python/object/apply:os.mknod ['{touch.file}']\n"),
}


def read_state(file: Path) -> None:
    """As a saved round whose hashes are right."""
    content = file.read_bytes()
    folder = file.parent / "state" / "fold0" / "round1"
    folder.mkdir(parents=True)
    (folder / "server.safetensors").write_bytes(content)
    (folder / HASHES).write_text(json.dumps({"server.safetensors": hashlib.sha256(content).hexdigest()}))
    State(file.parent, 0).load(None, 1)  # type: ignore[arg-type]  # no engine is reached


def read_prefix(file: Path) -> None:
    shape = BackboneShape(sax=(32, 32, 8), width=8, depth=1, heads=1, stem_channels=(2, 2), stem_blocks=1)
    prefixes = Prefixes(file.parent / "prefixes", seeded(shape, 0, "test"), 1)
    place = prefixes.path("case", 0)
    place.parent.mkdir(parents=True)
    file.rename(place)
    assert prefixes.get("case", 0, lambda: {"tokens": torch.ones(2)}).keys() == {"tokens"}


def read_volume(file: Path) -> None:
    store = Store(file.parent)
    (file.parent / "volumes").mkdir()
    file.rename(file.parent / "volumes" / "key.safetensors")
    assert store.load("key") is None


def named(name: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Reads the file's folder, where the file has this name."""

    def reading(file: Path) -> object:
        file.rename(file.with_name(name))
        return read(file.parent)

    return reading


READERS: dict[str, Callable[[Path], object]] = {
    "backbone.path=x.pt": lambda file: tiny.build(tiny.Knobs(path=str(file.rename(file.with_suffix(".pt"))))),
    "backbone.path=x.safetensors": lambda file: read_checkpoint(file.rename(file.with_suffix(".safetensors"))),
    "adapters": read_adapters,
    "state": read_state,
    "prefix": read_prefix,
    "volume": read_volume,
    "image": open_nifti,
    "table": read_text,
    "update": lambda file: unpack(file.read_bytes()),
    "config": lambda file: gather(file, {}, ()),
    "config.yaml": about,
    "rounds.jsonl": named("rounds.jsonl", read_rounds),
    "predictions.csv": named("predictions.csv", read_predictions),
    "summary.json": named("summary.json", read_summary),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_would_run_code_runs_none(tmp_path: Path, reader: str, form: str) -> None:
    marker, file = tmp_path / "marker", tmp_path / "file"
    FORMS[form](Touch(marker), file)
    raised: Exception | None = None
    try:
        READERS[reader](file)
    except Exception as error:
        raised = error
    assert not marker.exists()
    assert not isinstance(raised, AssertionError | TypeError | AttributeError | ImportError)


@pytest.mark.parametrize("form", FORMS)
def test_the_files_would_run_code_where_they_are_unpickled(tmp_path: Path, form: str) -> None:
    marker, file = tmp_path / "marker", tmp_path / "file"
    FORMS[form](Touch(marker), file)
    if form == "bare":
        pickle.loads(file.read_bytes())
    elif form == "yaml":
        yaml.unsafe_load(file.read_text())
    else:
        torch.load(file, weights_only=False)
    assert marker.exists()
