"""What may be wished of the server, and which wishes are refused."""

from pathlib import Path

import pytest
import torch
from made_runs import command

from fedcmr import catalogue
from fedcmr.arguments import configure, configured, parser
from fedcmr.knobs import COMBINES
from fedcmr.parts import Parts, Recipe, parts_of, strategy_of
from fedcmr.serving import DEFENCES, check_defence
from fedcmr.strategy.combining import weighted_mean
from fedcmr.strategy.robust import ClippedMean, Defence, GeometricMedian, Krum, Median, TrimmedMean
from fedcmr.strategy.strategy import Strategy
from fedcmr.strategy.weighing import by_cases, equally

WISHED = {
    "median": Median(),
    "trimmed_mean": TrimmedMean(0.2),
    "clipped_mean": ClippedMean(0.0),
    "geometric_median": GeometricMedian(),
    "krum": Krum(1),
}
SENT = {"head.cls.bias": torch.zeros(2)}


def strategy(*wishes: str) -> Strategy:
    return strategy_of(configure(wishes))[0]


def parts(*more: str) -> Parts:
    return parts_of(Recipe(configured(parser("run", "A run.").parse_intermixed_args(command(Path("unused"), *more)))))


def test_every_word_is_a_defence() -> None:
    assert set(COMBINES) == {"auto", *DEFENCES}
    assert WISHED.keys() == DEFENCES.keys()


@pytest.mark.parametrize(("word", "defence"), WISHED.items())
def test_a_wished_defence_stands_where_the_mean_stood_and_clients_weigh_equally(word: str, defence: Defence) -> None:
    plain, defended = strategy(), strategy(f"server.combine={word}")
    assert (plain.combine, plain.weigh) == (weighted_mean, by_cases)
    assert (defended.combine, defended.weigh) == (defence, equally)


def test_knobs_reach_their_defences() -> None:
    assert strategy("server.combine=trimmed_mean", "server.trim=0.4").combine == TrimmedMean(0.4)
    assert strategy("server.combine=clipped_mean", "server.clip=1.5").combine == ClippedMean(1.5)
    assert strategy("server.combine=krum", "server.bad=2").combine == Krum(2)


def test_weights_by_cases_can_be_wished_where_a_defence_listens_to_them() -> None:
    for word, defence in WISHED.items():
        wish = (f"server.combine={word}", "server.weights=cases")
        if defence.weighs:
            assert strategy(*wish).weigh is by_cases
        else:
            with pytest.raises(ValueError, match=f"server.weights=cases has no effect with server.combine={word}"):
                strategy(*wish)
        assert strategy(f"server.combine={word}", "server.weights=equal").weigh is equally


@pytest.mark.parametrize("name", catalogue.names("algorithms"))
def test_a_defence_is_refused_wherever_the_server_is_no_weighted_mean(name: str) -> None:
    own = strategy(f"algorithm={name}")
    if own.combine is weighted_mean and not own.pool:
        assert strategy(f"algorithm={name}", "server.combine=median").combine == Median()
    else:
        with pytest.raises(ValueError, match=f"server.combine=median: {name} .*Leave server.combine out"):
            strategy(f"algorithm={name}", "server.combine=median")


def test_the_refusal_of_a_method_names_its_server() -> None:
    with pytest.raises(ValueError, match=r"fedadam_lora has a server of its own, Strategy\(combine=AdamStep"):
        strategy("algorithm=fedadam_lora", "server.combine=krum")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("server.combine=mean", "server.combine=mean: expected one of auto, median"),
        ("server.trim=0.3", "server.trim=0.3 has no effect with server.combine=auto, only with .*trimmed_mean"),
        ("server.clip=2", "server.clip=2.0 has no effect"),
        ("server.bad=2", "server.bad=2 has no effect"),
    ],
)
def test_words_and_knobs_without_effect_are_refused(wish: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        configure([wish])


def test_knobs_out_of_range_are_refused_before_a_cohort_is_made() -> None:
    with pytest.raises(ValueError, match=r"server.trim=0.5: expected a share in \[0, 0.5\)"):
        strategy("server.combine=trimmed_mean", "server.trim=0.5")


def test_a_defence_of_too_few_clients_is_refused_before_training() -> None:
    for word, fewest in (("krum", 5), ("trimmed_mean", 5), ("median", 3), ("geometric_median", 3)):
        with pytest.raises(ValueError, match=rf"needs at least {fewest} updates and a round has 2 client"):
            parts(f"server.combine={word}").check_min_clients()
    parts("server.combine=clipped_mean", "server.clip=1").check_min_clients()
    parts().check_min_clients()


def test_who_is_drawn_for_a_round_has_to_be_enough() -> None:
    four = "--clients=vendorA,vendorB,vendorC,vendorD"
    parts(four, "server.combine=median").check_min_clients()
    with pytest.raises(ValueError, match="needs at least 3 updates and a round has 2"):
        parts(four, "server.combine=median", "participation=0.5").check_min_clients()


def test_a_defence_where_nothing_is_shared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"server\.combine has no effect on a method whose clients share nothing"):
        parts("--algorithm=local_only", "server.combine=median").check_min_clients()
    check_defence(Strategy(combine=Median()), SENT, 3)
    check_defence(Strategy(), {}, 1)
