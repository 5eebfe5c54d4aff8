"""Configuration -> parts: every process makes the same, and what does not fit together is refused."""

from pathlib import Path

import pytest
import torch
from made_runs import command

from fedcmr.arguments import configure, configured, parser
from fedcmr.parts import POOLED, Parts, Recipe, parts_of, strategy_of
from fedcmr.strategy.weighing import by_cases, equally


def recipe(*more: str) -> Recipe:
    return Recipe(configured(parser("run", "A run.").parse_intermixed_args(command(Path("unused"), *more))))


def parts(*more: str) -> Parts:
    return parts_of(recipe(*more))


def test_each_client_has_its_own_patients_and_none_twice() -> None:
    made = parts()
    (fold,) = made.folds
    assert {client: {case.client for case in split.train} for client, split in fold.items()} == {
        client: {client} for client in ("vendorA", "vendorC")
    }
    ids = [case.id for case in made.used()]
    assert ids == sorted(set(ids))
    assert len(ids) == 16


def test_pooled_clients_train_as_one() -> None:
    assert list(parts("--algorithm=pooled").federation().clients) == [POOLED]


def test_a_head_that_the_algorithm_fixes_is_not_given_away() -> None:
    with pytest.raises(ValueError, match="head_only fixes the head's owner to shared"):
        parts("--algorithm=head_only", "head.owner=private")


def test_more_updates_than_there_are_clients_cannot_be_asked_for() -> None:
    parts("min_clients=2").check_min_clients()
    with pytest.raises(ValueError, match="min_clients=3: expected at most 2"):
        parts("min_clients=3").check_min_clients()
    with pytest.raises(ValueError, match="min_clients=2: expected at most 1"):
        parts("--algorithm=pooled", "min_clients=2").check_min_clients()


def test_on_blanked_hearts_other_processes_make_the_same_parts() -> None:
    plain = parts()
    here, there = plain.blanked(), parts_of(plain.blanked().recipe)
    assert here.folds == there.folds == plain.folds
    case = plain.used()[0]
    assert torch.equal(here.volumes[case], there.volumes[case])
    assert not torch.equal(here.volumes[case], plain.volumes[case])


def test_where_everyone_tests_nobody_trains() -> None:
    (fold,) = parts_of(recipe(), everyone_tests=True).folds
    assert {client: len(split.test) for client, split in fold.items()} == {"vendorA": 8, "vendorC": 8}
    assert not any(split.train or split.val for split in fold.values())


def test_the_diagnosis_can_be_the_label() -> None:
    made = parts("data.label=group")
    assert made.task.classes == ("NOR", "DCM", "HCM")
    assert {made.label_word(case) for case in made.used()} == set(made.task.classes)


def test_the_heart_is_blanked_where_that_is_asked_for_or_patients_are_real() -> None:
    assert not parts().blanks_heart
    assert parts("controls.blanked=auto").blanks_heart
    assert not parts().is_phantom


@pytest.mark.parametrize(
    "wish", [["algorithm=head_only", "head.owner=private"], ["adapter.blocks=last-99"], ["backbone=cinema"]]
)
def test_what_the_knobs_alone_refuse_is_refused_before_a_cohort_is_made(
    wish: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDCMR_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match=r"head\.owner|last-99|backbone=cinema"):
        parts_of(Recipe(configure(wish)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("wish", "weigh"), [("auto", by_cases), ("cases", by_cases), ("equal", equally)])
def test_the_servers_weights_are_the_algorithms_or_as_wished(wish: str, weigh: object) -> None:
    strategy, _, _ = strategy_of(configure([f"server.weights={wish}"]))
    assert strategy.weigh is weigh
    fixed, _, _ = strategy_of(configure(["algorithm=feddpa", "server.weights=cases"]))
    assert fixed.weigh is by_cases, "a wish also replaces what a method would choose"


def test_other_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"server.weights=loud: expected auto, cases or equal"):
        configure(["server.weights=loud"])
