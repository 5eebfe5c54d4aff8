from pathlib import Path

import pytest
from recipes import EQUAL, RECIPES, is_finished, main

from fedcmr.pretrain import configured, parser


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_configuration_of_its_own(name: str) -> None:
    def digest(*knobs: str) -> str:
        return configured(parser().parse_intermixed_args(["--config", "pretrain", *EQUAL, *knobs])).digest()

    others = [digest(*knobs) for other, knobs in RECIPES.items() if other != name]
    assert digest(*RECIPES[name]) not in others


def test_an_unknown_recipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--acdc", str(tmp_path), "--recipes", "embeded"]) == 2
    assert "expected some of embedded" in capsys.readouterr().err


def test_a_training_is_finished_where_its_card_knows_its_weights(tmp_path: Path) -> None:
    assert not is_finished(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    assert not is_finished(tmp_path)
    (tmp_path / "card.json").write_text('{"weights_sha256": "0"}')
    assert is_finished(tmp_path)
