"""Pre-training from the command line and from Python, on made hearts and a model that is smaller still."""

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_data import Row, make_mnms
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import default_collate

from fedcmr.branches import starting_generator
from fedcmr.data.cases import Case, Frame
from fedcmr.models import tiny
from fedcmr.models.shape import BackboneShape
from fedcmr.pretrain import main
from fedcmr.pretraining import material as module
from fedcmr.pretraining.course import train
from fedcmr.pretraining.images import Order, Sight
from fedcmr.pretraining.knobs import Knobs
from fedcmr.pretraining.learner import Learner, share_of_rate
from fedcmr.pretraining.material import Material

SHAPE = BackboneShape(
    sax=(32, 32, 8), frames=1, width=24, depth=2, heads=2, stem_channels=(4, 6), stem_blocks=1, patch=(4, 4, 1)
)
RECIPE = Knobs(epochs=3, batch=4, warmup=1, lr=3e-3, decoder_width=16, decoder_depth=1, picture_every=0)
MASKS = replace(RECIPE, masked=0, segment=1, decoder_width=Knobs().decoder_width, decoder_depth=Knobs().decoder_depth)
FULL = replace(tiny.SHAPE, width=16, depth=1, stem_channels=(2, 3, 4), stem_blocks=1)


def case(number: int) -> Case:
    frames = [Frame(Path("none"), None, index) for index in (0, 3)]
    return Case(f"case{number}", f"vendor{'AB'[number % 2]}", "NOR", *frames, "training", (3, 2, 1), "phantom")


CASES = tuple(case(number) for number in range(5))


def disc(pair: Case, epoch: int) -> Sight:
    """A disc on grain, the smaller one at ES, masked as left ventricle; a function of the case alone."""
    generator = starting_generator(0, pair.id)
    x = torch.arange(32.0)[:, None, None] - 16
    y = torch.arange(32.0)[None, :, None] - 16
    discs = [((x.square() + y.square()).sqrt() < radius).expand(32, 32, 8) for radius in (12, 8)]
    masks = 3 * torch.stack(discs).to(torch.uint8)
    return Sight(0.7 * (masks > 0) + 0.1 * torch.rand(2, 32, 32, 8, generator=generator), masks)


def material(knobs: Knobs = RECIPE, look=disc) -> Material:
    return Material(knobs, replace(SHAPE, frames=2 if knobs.channels == "pair" else 1), CASES, CASES, look)


def learn(folder: Path, made: Material) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    learner = train(made, folder, Console(quiet=True), {})
    return learner.state_dict(), learner.curves


@pytest.fixture(autouse=True)
def without_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")


RECIPES = {
    "masked": RECIPE,
    "segment": MASKS,
    "measure": replace(MASKS, segment=0, measure=1, channels="pair"),
    "all": replace(RECIPE, masked=0.5, segment=1, measure=1, channels="pair"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_loss_falls(tmp_path: Path, name: str) -> None:
    _, curves = learn(tmp_path, material(replace(RECIPES[name], epochs=10)))
    assert all(len(curve) == 10 for curve in curves.values())
    for kind, curve in curves.items():
        first, last = (curve[-1], curve[0]) if kind == "dice" else (curve[0], curve[-1])
        assert last < 0.9 * first, curves


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_training_ends_in_the_same_bits_as_an_uninterrupted_one(tmp_path: Path, name: str) -> None:
    def interrupting(pair: Case, epoch: int) -> Sight:
        if epoch == 2:
            raise KeyboardInterrupt
        return disc(pair, epoch)

    whole, curves = learn(tmp_path / "whole", material(RECIPES[name]))
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "halved", material(RECIPES[name], interrupting))
    assert len(list((tmp_path / "halved" / "state").glob("*.ckpt"))) == 1
    resumed, resumed_curves = learn(tmp_path / "halved", material(RECIPES[name]))
    assert resumed_curves == curves
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("kind", ["unsafe", "pickle", "cut", "other"])
def test_a_bad_checkpoint_is_refused_by_name_and_nothing_in_it_is_run(tmp_path: Path, kind: str) -> None:
    file, marker = tmp_path / "state" / "epoch=00002.ckpt", tmp_path / "marker"
    if kind == "cut":
        learn(tmp_path, material())
        file.write_bytes(file.read_bytes()[:-500])
    else:
        file.parent.mkdir()
        torch.save({"state_dict": {}, "curves": Touch(marker)} if kind == "unsafe" else {"epoch": 1}, file)
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Touch(marker), protocol=2))
    with pytest.raises(
        ValueError, match=r"epoch=00002\.ckpt: no checkpoint of a pre-training .* begin the training anew"
    ):
        learn(tmp_path, material())
    assert not marker.exists()


def test_every_loss_has_its_curve_and_the_whole_is_their_weighted_sum(tmp_path: Path) -> None:
    _, curves = learn(tmp_path, material(RECIPES["all"]))
    assert curves.keys() == {"loss", "masked", "segment", "dice", "measure"}
    for whole, *parts in zip(*(curves[name] for name in ("loss", "masked", "segment", "measure")), strict=True):
        assert whole == pytest.approx(0.5 * parts[0] + parts[1] + parts[2], rel=1e-5)
    assert learn(tmp_path / "one", material())[1].keys() == {"loss"}


@pytest.mark.parametrize("name", RECIPES)
def test_an_objective_without_weight_leaves_nothing_to_train(name: str) -> None:
    # several devices would wait for ever for its gradients
    learner = Learner(material(RECIPES[name]).model(), RECIPES[name])
    loss = sum(learner.parts(batch(RECIPES[name]))[objective] for objective in learner.objectives)
    assert isinstance(loss, Tensor)
    loss.backward()
    for path, tensor in learner.named_parameters():
        assert (tensor.grad is not None) == tensor.requires_grad, path


def batch(knobs: Knobs, count: int = 3) -> dict[str, Tensor]:
    images = material(knobs).images()
    return default_collate([images[0, number] for number in range(count)])


def test_another_seed_gives_other_weights_and_the_same_seed_the_same(tmp_path: Path) -> None:
    knobs = RECIPES["all"]
    one, same = (learn(tmp_path / word, material(knobs))[0] for word in ("one", "same"))
    other = learn(tmp_path / "other", material(replace(knobs, seed=1)))[0]
    for name in ("model.dec_linear.weight", "heads.segment.tokens.weight", "heads.measure.cls.weight"):
        assert torch.equal(one[name], same[name])
        assert not torch.equal(one[name], other[name])


def test_what_is_hidden_is_a_function_of_seed_epoch_and_frame() -> None:
    images = material().images()
    assert len(images) == 10
    hidden = images[0, 3]["hidden"]
    assert torch.equal(hidden, images[0, 3]["hidden"])
    assert int(hidden.sum()) == 24
    others = [images[1, 3], images[0, 2], material(replace(RECIPE, seed=1)).images()[0, 3]]
    assert all(not torch.equal(hidden, other["hidden"]) for other in others)
    assert torch.equal(images[0, 3]["image"][0], disc(CASES[1], 0).volume[1])


def test_paired_frames_are_channels_of_one_image() -> None:
    single, paired = (material(replace(RECIPE, channels=word)).images() for word in ("single", "pair"))
    assert len(paired) == 5
    assert torch.equal(paired[0, 3]["image"], disc(CASES[3], 0).volume)
    assert paired[0, 3]["shares"].shape == (2, 4, 8, 8, 8)
    assert torch.equal(paired[0, 3]["shares"][1:], single[0, 7]["shares"])
    assert (paired.first_of(3), single.first_of(3)) == (3, 6)


def test_masks_are_asked_for_only_where_an_objective_needs_them() -> None:
    def without(pair: Case, epoch: int) -> Sight:
        return Sight(disc(pair, epoch).volume, None)

    assert "shares" not in material(look=without).images()[0, 0]


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
    made = material(replace(RECIPE, clip=0.0), lambda pair, epoch: Sight(disc(pair, epoch).volume * float("inf"), None))
    with pytest.raises(ValueError, match="diverged"):
        learn(tmp_path, made)


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
    assert len(card["curves"]["loss"]) == 1
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


BY_MASKS = ["pretrain.masked=0", "pretrain.segment=1", "pretrain.measure=1", "pretrain.channels=pair"]


def test_masks_alone_leave_an_encoder_and_heads(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "out", [word for word in command if "decoder" not in word]
    assert main([*words, *BY_MASKS, "augment.affine=1", "--clients", "vendorA", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert all(f"| {name} " in said for name in ("loss", "segment", "dice", "measure"))
    card, weights = json.loads((out / "card.json").read_text()), load_file(out / "weights.safetensors")
    assert card["objectives"] == {"segment": 1, "measure": 1}
    assert (card["channels"], card["layout"]) == ("pair", "CineMA masked autoencoder, its encoder alone")
    assert card["curves"].keys() == {"loss", "segment", "dice", "measure"}
    assert card["vendors_seen"] == ["siemens"]
    assert all(name.startswith(("encoder.", "enc_")) for name in weights)
    heads = load_file(out / "heads.safetensors")
    assert {name.partition(".")[0] for name in heads} == {"segment", "measure"}
    assert [file.name for file in (out / "pictures").iterdir()] == ["outlines-0001.png"]
    backbone = tiny.build(tiny.Knobs(path=str(out / "weights.safetensors"))).foundation()
    assert backbone.keys() == weights.keys()
    assert all(torch.equal(backbone[name], tensor) for name, tensor in weights.items())


def test_without_masks_what_learns_from_them_is_refused(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for mask in tmp_path.rglob("*_gt.nii.gz"):
        mask.unlink()
    assert main([*command, "pretrain.segment=1", "--out", str(tmp_path / "out")]) == 2
    assert "cannot be prepared: Case A1: no mask of" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "masked")]) == 0


def test_single_frames_go_on_as_pairs_with_a_new_decoder_and_not_the_other_way_round(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert main([*command, "--out", str(first)]) == 0
    still = [*command, "--clients", "vendorA", "pretrain.lr=1e-9", "pretrain.segment=1", "pretrain.start="]
    still[-1] += str(first / "weights.safetensors")
    assert main([*still, "pretrain.channels=pair", "--out", str(second)]) == 0
    one, other = (load_file(folder / "weights.safetensors") for folder in (first, second))
    conv = "enc_down_dict.sax.conv_blocks.0.patch_embed.conv.weight"
    assert torch.allclose(one[conv].repeat(1, 2, 1, 1, 1), other[conv], atol=1e-6)
    assert torch.allclose(one["encoder.norm.weight"], other["encoder.norm.weight"], atol=1e-6)
    assert not torch.allclose(one["dec_linear.weight"], other["dec_linear.weight"], atol=1e-6)
    still[-1] = f"pretrain.start={second / 'weights.safetensors'}"
    assert main([*still, "--out", str(tmp_path / "third")]) == 2
    assert "takes 2 channels, asked for were 1" in capsys.readouterr().err


def test_an_encoder_alone_goes_on_with_a_decoder_from_the_seed() -> None:
    start, kept = material(RECIPES["segment"]).model().state_dict(), material(replace(RECIPE, seed=1)).model()
    before = kept.state_dict()["dec_linear.weight"].clone()
    encoder = {name: tensor + 1 for name, tensor in start.items() if name.startswith("enc")}
    module.go_on_from(kept, encoder, needs_decoder=True)
    after = kept.state_dict()
    assert torch.equal(after["encoder.norm.bias"], encoder["encoder.norm.bias"])
    assert torch.equal(after["dec_linear.weight"], before)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pretrain.epoch=3"], "Did you mean 'pretrain.epochs'"),
        (["--clients", "vendorD"], "Unknown client 'vendorD'"),
        (["pretrain.mask_ratio=2"], "mask_ratio"),
        (["pretrain.start=nowhere.safetensors"], "no such file"),
        (["backbone=huge"], "Unknown model"),
        (["pretrain.masked=0"], "at least one above"),
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
