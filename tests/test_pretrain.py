"""Pre-training from the command line and from Python, on made hearts and a model that is smaller still."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_data import Row, make_mnms
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from fedcmr.data.cases import Case, Frame
from fedcmr.models import tiny
from fedcmr.models.masked import seeded_autoencoder
from fedcmr.models.shape import BackboneShape
from fedcmr.pretrain import main
from fedcmr.pretraining import material as module
from fedcmr.pretraining.course import train
from fedcmr.pretraining.images import Order
from fedcmr.pretraining.knobs import Knobs
from fedcmr.pretraining.learner import share_of_rate
from fedcmr.pretraining.material import Material
from fedcmr.pretraining.telling import columns
from fedcmr.tensors import starting_generator

SHAPE = BackboneShape(
    sax=(32, 32, 8), frames=1, width=24, depth=2, heads=2, stem_channels=(4, 6), stem_blocks=1, patch=(4, 4, 1)
)
RECIPE = Knobs(epochs=3, batch=4, warmup=1, lr=3e-3, decoder_width=16, decoder_depth=1, picture_every=0)
FULL = replace(tiny.SHAPE, width=16, depth=1, stem_channels=(2, 4), stem_blocks=1)


def case(number: int) -> Case:
    frames = [Frame(Path("none"), None, index) for index in (0, 3)]
    return Case(f"case{number}", f"vendor{'AB'[number % 2]}", "NOR", *frames, "training", (3, 2, 1), "phantom")


CASES = tuple(case(number) for number in range(5))


def disc(pair: Case, epoch: int) -> Tensor:
    """(2, 32, 32, 8): a disc on grain, the smaller one at ES; a function of the case alone."""
    generator = starting_generator(0, pair.id)
    x = torch.arange(32.0)[:, None, None] - 16
    y = torch.arange(32.0)[None, :, None] - 16
    discs = [((x.square() + y.square()).sqrt() < radius).float().expand(32, 32, 8) for radius in (12, 8)]
    return 0.7 * torch.stack(discs) + 0.1 * torch.rand(2, 32, 32, 8, generator=generator)


def material(knobs: Knobs = RECIPE, look=disc) -> Material:
    return Material(knobs, SHAPE, CASES, CASES, look)


def learn(folder: Path, made: Material) -> tuple[dict[str, Tensor], list[float]]:
    learner = train(made, folder, Console(quiet=True), {})
    return learner.model.state_dict(), learner.curve


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


def test_the_loss_falls(tmp_path: Path) -> None:
    _, curve = learn(tmp_path, material(replace(RECIPE, epochs=10)))
    assert len(curve) == 10
    assert curve[-1] < 0.8 * curve[0], curve


def test_a_resumed_training_ends_in_the_same_bits_as_an_uninterrupted_one(tmp_path: Path) -> None:
    def interrupting(pair: Case, epoch: int) -> Tensor:
        if epoch == 2:
            raise KeyboardInterrupt
        return disc(pair, epoch)

    whole, curve = learn(tmp_path / "whole", material())
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "halved", material(look=interrupting))
    assert len(list((tmp_path / "halved" / "state").glob("*.ckpt"))) == 1
    resumed, resumed_curve = learn(tmp_path / "halved", material())
    assert resumed_curve == curve
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(tmp_path: Path) -> None:
    one, same = (learn(tmp_path / word, material())[0]["dec_linear.weight"] for word in ("one", "same"))
    other = learn(tmp_path / "other", material(replace(RECIPE, seed=1)))[0]["dec_linear.weight"]
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_mask_is_a_function_of_seed_epoch_and_frame() -> None:
    frames = material().frames()
    assert len(frames) == 10
    hidden = frames[0, 3]["hidden"]
    assert torch.equal(hidden, frames[0, 3]["hidden"])
    assert int(hidden.sum()) == 24
    others = [frames[1, 3], frames[0, 2], material(replace(RECIPE, seed=1)).frames()[0, 3]]
    assert all(not torch.equal(hidden, other["hidden"]) for other in others)
    assert torch.equal(frames[0, 3]["image"][0], disc(CASES[1], 0)[1])


def test_every_frame_comes_once_an_epoch_in_a_new_order() -> None:
    order = Order(10, seed=0)
    first = list(order)
    order.set_epoch(1)
    second = list(order)
    assert sorted(first) == [(0, number) for number in range(10)]
    assert sorted(second) == [(1, number) for number in range(10)]
    assert [number for _, number in first] != [number for _, number in second]


def test_devices_share_the_frames_evenly_and_leave_none_out() -> None:
    shares = [list(Order(10, 0, device, 3)) for device in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    assert {number for share in shares for _, number in share} == set(range(10))


def test_the_rate_rises_and_falls() -> None:
    shares = [share_of_rate(step, 4, 20) for step in range(21)]
    assert shares[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert shares[12] == pytest.approx(0.5)
    assert shares[20] == pytest.approx(0)


def test_a_gradient_that_is_not_finite_is_an_error(tmp_path: Path) -> None:
    made = material(replace(RECIPE, clip=0.0), lambda pair, epoch: disc(pair, epoch) * float("inf"))
    with pytest.raises(ValueError, match="diverged"):
        learn(tmp_path, made)


def test_a_picture_shows_what_is_seen_as_it_is() -> None:
    made = material()
    item = made.frames()[0, 0]
    original, masked, mended = columns(seeded_autoencoder(SHAPE, RECIPE.decoder(), 0), item)
    seen = ~masked.isnan()
    assert original.shape == masked.shape == mended.shape == (32, 32)
    assert torch.equal(masked[seen], original[seen])
    assert torch.equal(mended[seen], original[seen])
    assert not mended.isnan().any()


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"lr": 0.0}, {"mask_ratio": 1.0}, {"warmup": 3.0}, {"frames": "all"}, {"precision": "16-mixed"}],
)
def test_impossible_recipes_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(RECIPE, **wrong)


@pytest.fixture
def twins() -> list[tuple[str, str, float]]:
    """Pairs that the search for twins finds; a test may add some."""
    return []


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, twins: list[tuple[str, str, float]]) -> list[str]:
    """Arguments of a small training on made M&Ms patients of three vendors, one of them a test patient."""
    monkeypatch.setattr(tiny, "SHAPE", FULL)
    # made hearts are all alike, so that each would pass for the others' twin
    monkeypatch.setattr(module, "find_twins", lambda cases, volumes: twins)
    rows = [Row("A1", "A"), Row("A2", "A", "DCM"), Row("B1", "B"), Row("C1", "C", "", "Training/Unlabeled")]
    root = make_mnms(tmp_path / "mnms", [*rows, Row("B2", "B", "DCM", "Testing")])
    words = ["--data", "mnms", f"data.root={root}", "--epochs", "1", "pretrain.warmup=0", "pretrain.decoder_width=8"]
    return [*words, "pretrain.picture_every=1", "pretrain.frames=ends"]


def test_the_command_leaves_weights_that_a_backbone_takes_and_a_card(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([*command, "--clients", "vendora,GE", "--out", str(out)]) == 0, capsys.readouterr().err
    card = json.loads((out / "card.json").read_text())
    assert card["training_patients"] == {"vendorA": 2, "vendorC": 1}
    assert card["clients_seen"] == ["vendorA", "vendorC"]
    assert card["frames"] == 6
    assert card["weights_sha256"] == hashlib.sha256((out / "weights.safetensors").read_bytes()).hexdigest()
    assert len(card["loss_curve"]) == 1
    assert card["began"][:2] == "20"
    assert (out / "pictures" / "epoch-0001.png").stat().st_size > 1000
    backbone = tiny.build(tiny.Knobs(path=str(out / "weights.safetensors")))
    assert torch.equal(backbone.encoder.norm.weight, load_file(out / "weights.safetensors")["encoder.norm.weight"])


def test_a_finished_training_is_named_and_another_one_is_refused(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert main([*command, *out]) == 0
    assert main([*command, *out]) == 0
    assert "finished" in capsys.readouterr().out
    assert main([*command, *out, "--seed", "1"]) == 2
    assert "another pre-training" in capsys.readouterr().err


def test_test_patients_are_never_seen_under_another_code_either(
    tmp_path: Path, command: list[str], twins: list[tuple[str, str, float]]
) -> None:
    twins.append(("A1", "B2", 0.9))
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["training_patients"] == {"vendorA": 1, "vendorB": 1, "vendorC": 1}


def test_any_frames_of_the_cine_are_seen(tmp_path: Path, command: list[str]) -> None:
    assert main([*command, "pretrain.frames=cine", "--out", str(tmp_path / "out")]) == 0
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    # three frames make one pair
    assert card["frames"] == 8


def test_weights_go_on_from_a_file(tmp_path: Path, command: list[str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*command, "--out", str(first)]) == 0
    start = f"pretrain.start={first / 'weights.safetensors'}"
    assert main([*command, start, "pretrain.lr=1e-9", "--out", str(second)]) == 0
    one, other = (load_file(folder / "weights.safetensors") for folder in (first, second))
    assert all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pretrain.epoch=3"], "Did you mean 'pretrain.epochs'"),
        (["--clients", "vendorD"], "Unknown client 'vendorD'"),
        (["pretrain.mask_ratio=2"], "mask_ratio"),
        (["pretrain.start=nowhere.safetensors"], "no such file"),
        (["backbone=huge"], "Unknown model"),
    ],
)
def test_a_wrong_wish_is_one_message(
    tmp_path: Path, command: list[str], words: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *words, "--out", str(tmp_path / "out")]) == 2
    assert expected in capsys.readouterr().err


def test_nothing_to_resume_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--resume", str(tmp_path / "empty")]) == 2
    assert "does not exist" in capsys.readouterr().err
