"""What README and the guides show exists: every command, flag, knob, target and path."""

import importlib
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from fedcmr import catalogue
from fedcmr.arguments import configure

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "experiments" / "README.md"]
BLOCKS = re.compile(r"```console\n(.*?)```", re.DOTALL)
LINKS = re.compile(r"\]\((?!https?:)([^)#]+)\)")
FEDERATED = {f"fedcmr.{name}" for name in ("run", "check", "table", "evaluate")}
FLAG_KNOBS = {"--data": "data", "--algorithm": "algorithm", "--task": "task", "--engine": "engine"}


def shown_commands() -> list[list[str]]:
    """Words of every command line in a console block, without its comment."""
    text = "\n".join(block for guide in GUIDES for block in BLOCKS.findall(guide.read_text(encoding="utf-8")))
    lines = [line.split("  #")[0].strip() for line in text.splitlines()]
    return [shlex.split(line) for line in lines if line]


COMMANDS = shown_commands()


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "make"], ids=" ".join)
def test_every_make_target_that_is_shown_exists(words: list[str]) -> None:
    assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[:2] == ["python", "-m"]], ids=" ".join)
def test_every_command_that_is_shown_has_its_flags_and_knobs(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(words[2]).main(["--help"])
    known = capsys.readouterr().out
    assert all(word in known for word in words[3:] if word.startswith("--"))
    values = dict(pairwise(words))
    parts = [f"{knob}={values[flag]}" for flag, knob in FLAG_KNOBS.items() if flag in values]
    knobs = [word for word in words[3:] if "=" in word and not word.startswith("-")]
    if words[2] in FEDERATED:
        configure([*parts, *knobs], file=values.get("--config", ""))


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[1:] and words[1].endswith(".py")], ids=" ".join)
def test_every_script_that_is_shown_exists(words: list[str]) -> None:
    assert (ROOT / words[1]).is_file()


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_path_that_is_linked_exists(guide: Path) -> None:
    missing = [link for link in LINKS.findall(guide.read_text(encoding="utf-8")) if not (guide.parent / link).exists()]
    assert not missing


def test_the_tree_in_the_readme_names_files_that_exist() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = text.split("## The house")[1].split("To add an algorithm")[0]
    for line in tree.splitlines():
        names = line.strip().split("  ")[0].split()
        folder = ROOT / "fedcmr" if line.startswith("      ") else ROOT
        assert all((folder / name).exists() for name in names), line


def test_the_guide_to_methods_names_every_one_of_them_and_how_near_it_is_to_its_source() -> None:
    lines = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    said = {name: cells[-1] for cells in rows for name in re.findall(r"`(\w+)`", cells[0])}
    assert set(said) == set(catalogue.names("algorithms"))
    for name, last in said.items():
        fidelity = catalogue.entry("algorithms", name).module.FIDELITY
        assert fidelity == last.split(", ")[-1] or not re.search("code|paper|adapted", last), name
        assert name in (ROOT / "README.md").read_text(encoding="utf-8")
