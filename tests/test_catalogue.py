"""A folder is a registry: whatever in it defines `build` is an entry."""

import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest

from fedcmr import catalogue

ALGORITHMS = catalogue.names("algorithms")


def test_an_entry_is_a_file_or_a_folder_that_defines_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    made = tmp_path / "things"
    (made / "folder").mkdir(parents=True)
    (made / "empty").mkdir()
    (made / "plain.py").write_text('"""A plain thing.\n\nMore."""\ndef build(knobs): ...\n', encoding="utf-8")
    (made / "other.py").write_text("class Inner:\n    def build(self): ...\n", encoding="utf-8")
    (made / "folder" / "__init__.py").write_text('"""A folder."""\ndef build(knobs): ...\n', encoding="utf-8")
    (made / "notes.txt").write_text("def build", encoding="utf-8")
    assert catalogue.names("things") == ["folder", "plain"]
    assert catalogue.caption("things", "plain") == "A plain thing."
    assert catalogue.caption("things", "folder") == "A folder."


def test_the_methods_of_the_first_release_are_there() -> None:
    assert {"fedavg_lora", "head_only", "local_only", "med_dual_lora", "pooled"} <= set(ALGORITHMS)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_entry_hands_over_frozen_knobs_and_build(name: str) -> None:
    entry = catalogue.entry("algorithms", name)
    assert entry.name == name
    assert is_dataclass(entry.knobs)
    assert hash(entry.knobs()) == hash(entry.knobs())
    assert catalogue.caption("algorithms", name)


@pytest.mark.parametrize("met", ["med_duallora", "Med_Dual_LoRA", "med-dual-lora"])
def test_an_unknown_name_is_refused_with_the_nearest(met: str) -> None:
    with pytest.raises(ValueError, match=f"Unknown algorithm '{met}'; known: .*Did you mean 'med_dual_lora'"):
        catalogue.entry("algorithms", met)


def test_a_name_like_no_other_gets_no_suggestion() -> None:
    sentence = catalogue.unknown("client", "zzz", ["vendorA"])
    assert sentence == "Unknown client 'zzz'; known: vendorA."
    assert catalogue.unknown("client", "zzz", []) == "Unknown client 'zzz'; known: none."


def test_listing_imports_no_part() -> None:
    program = (
        "import sys; from fedcmr import catalogue; catalogue.names('algorithms'); catalogue.caption('algorithms', "
        "'pooled'); sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'fedcmr.algorithms.pooled')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
