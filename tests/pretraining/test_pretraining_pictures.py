from pathlib import Path

import torch

from fedcmr.models.decoder import DecoderShape
from fedcmr.models.masked import hidden_tokens, seeded_autoencoder
from fedcmr.models.shape import BackboneShape
from fedcmr.pretraining.knobs import Knobs
from fedcmr.pretraining.learner import Learner
from fedcmr.pretraining.pictures import columns, draw, middle, outlines
from fedcmr.pretraining.targets import class_shares

SHAPE = BackboneShape(sax=(32, 32, 4), width=24, depth=1, heads=2, stem_channels=(4, 6), stem_blocks=1)


def item() -> dict[str, torch.Tensor]:
    image = torch.rand(2, 32, 32, 4, generator=torch.Generator().manual_seed(0))
    image[..., 3] = 0
    masks = (image > 0.5).to(torch.uint8) * 2
    return {"image": image, "hidden": hidden_tokens(16, 0.75, 0, "test"), "shares": class_shares(masks)}


def learner(**wishes: float) -> Learner:
    knobs = Knobs(channels="pair", **wishes)  # type: ignore[arg-type]
    return Learner(seeded_autoencoder(SHAPE, DecoderShape(8, 1, 2), 0), knobs)


def test_a_picture_shows_what_is_seen_as_it_is() -> None:
    original, masked, mended = columns(learner().model, item())
    seen = ~masked.isnan()
    assert original.shape == masked.shape == mended.shape == (32, 32)
    assert torch.equal(original, item()["image"][0, ..., 1])
    assert torch.equal(masked[seen], original[seen])
    assert torch.equal(mended[seen], original[seen])
    assert not mended.isnan().any()


def test_the_middle_is_that_of_the_slices_with_something_in_them() -> None:
    assert middle(item()["image"]) == 1
    assert middle(torch.zeros(2, 4, 4, 5)) == 0


def test_outlines_are_those_of_the_slice_that_is_shown() -> None:
    made = item()
    told = outlines(learner(segment=1), made)
    assert list(told) == ["ED", "ES"]
    for frame, slice in enumerate(told.values()):
        assert torch.equal(slice.image, made["image"][frame, ..., 1])
        assert torch.equal(slice.true, made["shares"][frame, 1:, ..., 1])
        assert slice.told.shape == slice.true.shape
        assert 0 < float(slice.told.min()) <= float(slice.told.sum(dim=0).max()) < 1


def test_each_objective_that_can_be_shown_has_a_picture(tmp_path: Path) -> None:
    shown = {"one": item(), "two": item()}
    assert draw(learner(masked=0, measure=1), shown, tmp_path, 1, "title") == {}
    files = draw(learner(segment=1), shown, tmp_path, 3, "title")
    assert {kind: file.name for kind, file in files.items()} == {
        "reconstruction": "epoch-0003.png",
        "outlines": "outlines-0003.png",
    }
    assert all(file.stat().st_size > 1000 for file in files.values())
