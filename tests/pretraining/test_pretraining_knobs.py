from dataclasses import replace

import pytest

from fedcmr.pretraining.knobs import Knobs

MASKS = Knobs(masked=0, segment=1, measure=1, channels="pair")


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"lr": 0.0}, {"mask_ratio": 1.0}, {"warmup": 100.0}, {"frames": "all"}, {"precision": "16-mixed"}],
)
def test_impossible_recipes_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        Knobs(**wrong)


def test_masks_are_needed_only_by_what_learns_from_them() -> None:
    assert not Knobs().needs_masks
    assert MASKS.needs_masks
    assert Knobs(segment=0.1).needs_masks


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"masked": 0}, r"masked=0, segment=0, measure=0; expected no weight below 0, and at least one above"),
        ({"segment": -1}, "segment=-1, .* no weight below 0"),
        ({"measure": 1}, "EF, which one frame cannot tell: expected pretrain.channels=pair, met single"),
        ({"channels": "three"}, "channels=three: expected one of single, pair"),
        ({"segment": 1, "frames": "cine"}, "frames=cine; expected frames=ends"),
    ],
)
def test_objectives_that_cannot_be_are_refused(wrong: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Knobs(**wrong)


@pytest.mark.parametrize("names", [(), ("lv_edv", "lv_edv"), ("lv_edv", "age")])
def test_measures_must_be_known_and_told_once(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected at least one, none twice, of lv_edv, lv_esv"):
        replace(MASKS, measures=names)


@pytest.mark.parametrize(
    ("idle", "told"),
    [
        (replace(MASKS, measure=0), {"measures": ("lv_ef",)}),
        (MASKS, {"mask_ratio": 0.5}),
        (MASKS, {"decoder_width": 64, "decoder_depth": 1}),
    ],
)
def test_a_knob_of_an_objective_without_weight_is_refused(idle: Knobs, told: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(told))}=.* has no effect with"):
        replace(idle, **told)
