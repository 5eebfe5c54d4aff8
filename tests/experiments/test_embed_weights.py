import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from embed_weights import embed, rescore
from safetensors.torch import save

from fedcmr.models import tiny
from fedcmr.models.backbone import seeded


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished pre-training of seeded weights, and beside it what a probe said of them."""
    folder = tmp_path / "run"
    folder.mkdir()
    content = save({name: tensor.contiguous() for name, tensor in seeded(tiny.SHAPE, 5, "").foundation().items()})
    (folder / "weights.safetensors").write_bytes(content)
    hashed = hashlib.sha256(content).hexdigest()
    rewrite(folder, weights_sha256=hashed, data={"name": "phantom"}, clients_seen=["vendorA"], weights="w", heads=None)
    rewrite(folder, command="python -m fedcmr.pretrain --config pretrain --out /made/run pretrain.epochs=2")
    judged = {"random": {"what": "random"}, "run": {"what": f"pre-trained (SHA-256 {hashed})", "scores": {"ACDC": 1}}}
    (tmp_path / "probe.json").write_text(json.dumps({"rows": judged, "studies": {}, "effort": {}}))
    return folder


def rewrite(folder: Path, **changes: Any) -> None:
    file = folder / "card.json"
    file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | changes))


def test_weights_come_with_their_card_their_scores_and_their_limits(run: Path, tmp_path: Path) -> None:
    into = tmp_path / "package" / "tiny.safetensors"
    assert "SHA-256" in embed(run, tmp_path / "probe.json", into)
    card = json.loads(into.with_suffix(".json").read_text())
    assert hashlib.sha256(into.read_bytes()).hexdigest() == card["weights_sha256"]
    assert card["scores"]["scores"] == {"ACDC": 1}
    assert card["limits"]
    assert "heads" not in card
    assert card["command"] == "python -m fedcmr.pretrain --config pretrain pretrain.epochs=2"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights_sha256": "0"}, "not the weights of its card"),
        ({"data": {"name": "acdc"}}, "expected simulated hearts alone"),
        ({"clients_seen": ["vendorA", "vendorD"]}, "vendorD"),
    ],
)
def test_weights_that_may_not_be_shipped_are_refused(
    run: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    rewrite(run, **changes)
    with pytest.raises(ValueError, match=words):
        embed(run, tmp_path / "probe.json", tmp_path / "tiny.safetensors")
    assert not (tmp_path / "tiny.safetensors").exists()


def test_weights_that_were_not_judged_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "probe.json").write_text(
        json.dumps({"rows": {"random": {"what": "random"}}, "studies": {}, "effort": {}})
    )
    with pytest.raises(ValueError, match="judges no weights"):
        embed(run, tmp_path / "probe.json", tmp_path / "tiny.safetensors")


def test_weights_that_are_embedded_get_new_scores_and_nothing_else(run: Path, tmp_path: Path) -> None:
    into, probe = tmp_path / "package" / "tiny.safetensors", tmp_path / "probe.json"
    embed(run, probe, into)
    before, content = json.loads(into.with_suffix(".json").read_text()), into.read_bytes()
    probe.write_text(probe.read_text().replace('"ACDC": 1', '"ACDC": 2'))
    rescore(probe, into)
    after = json.loads(into.with_suffix(".json").read_text())
    assert after["scores"]["scores"] == {"ACDC": 2}
    assert {**after, "scores": None} == {**before, "scores": None}
    assert into.read_bytes() == content


def test_scores_of_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    into, probe = tmp_path / "package" / "tiny.safetensors", tmp_path / "probe.json"
    embed(run, probe, into)
    probe.write_text(json.dumps({"rows": {"random": {"what": "random"}}, "studies": {}, "effort": {}}))
    before = into.with_suffix(".json").read_text()
    with pytest.raises(ValueError, match="judges no weights"):
        rescore(probe, into)
    assert into.with_suffix(".json").read_text() == before
