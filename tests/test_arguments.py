"""The command line: what is unknown is refused with the nearest name, and every end has its exit code."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fedcmr.arguments import EMPTY, configure, experiment_file, flags_of, guarded, parser
from fedcmr.knobs import RunKnobs


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ("algorithm=med_dual_lra", "Unknown algorithm 'med_dual_lra'.*Did you mean 'med_dual_lora'"),
        ("data=mmns", "Unknown data 'mmns'.*Did you mean 'mnms'"),
        ("task=detecton", "Unknown task.*Did you mean 'detection'"),
        ("engine=inprocess", "Unknown engine.*Did you mean 'in_process'"),
        ("backbone=tny", "Did you mean 'tiny'"),
        ("vist.lr=1", "Unknown knob 'vist'.*Did you mean 'visit'"),
        ("visit.lrr=1", "Unknown knob 'visit.lrr'.*Did you mean 'visit.lr'"),
        ("visit.lr=fast", "visit.lr=fast: expected a value of type float"),
        ("seed=1.5", "seed=1.5: expected a value of type int"),
        ("visit=3", "'visit' is a group of knobs"),
        ("nonsense", "expected key=value"),
        ("rounds=0", "rounds=0.*expected both at least 1"),
        ("visit.batch=0", "visit.batch=0: expected both at least 1"),
        ("visit.lr=nan", "visit.lr=nan"),
        ("engine.workers=0", "engine.workers=0: expected at least 1"),
        ("head.owner=nobody", "head.owner=nobody: expected auto, shared, private or both"),
        ("clients=','", "expected one name or more"),
    ],
)
def test_a_wrong_wish_is_refused_with_what_would_be_right(wish: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        configure([wish])


def test_an_override_is_stronger_than_a_flag_and_a_flag_than_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("rounds: 3\nseed: 3\nmin_clients: 3\n")
    knobs = configure(["rounds=5"], str(file), {"rounds": 4, "seed": 4}).of("", RunKnobs)
    assert (knobs.rounds, knobs.seed, knobs.min_clients) == (5, 4, 3)


def test_clients_are_written_as_a_list_or_with_commas() -> None:
    for wish in ("clients=[vendorA,ge]", "clients='vendorA, ge'"):
        assert configure([wish]).of("", RunKnobs).clients == ("vendorA", "ge")
    assert configure([], "", {"clients": "vendorA,ge"}).of("", RunKnobs).clients == ("vendorA", "ge")


def test_a_bare_part_is_its_name_and_equals_its_flag() -> None:
    assert configure(["algorithm=pooled"]) == configure([], "", {"algorithm": "pooled"})


def test_only_the_flags_that_were_given_count() -> None:
    said = parser("run", "A run.").parse_intermixed_args(["--seed", "3", "visit.lr=1e-3", "--rounds", "2"])
    assert flags_of(said) == {"seed": 3, "rounds": 2}
    assert said.overrides == ["visit.lr=1e-3"]


def test_a_named_experiment_is_found_and_an_unknown_one_refused() -> None:
    assert experiment_file("demo").is_file()
    assert experiment_file("my/own.yaml") == Path("my/own.yaml")
    with pytest.raises(ValueError, match=r"Unknown experiment 'dem'.*Did you mean 'demo'"):
        experiment_file("dem")
    with pytest.raises(ValueError, match=r"nowhere\.yaml does not exist"):
        configure([], "nowhere.yaml", EMPTY)


class ToldError(RuntimeError):
    exit_code = 3


def raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("wrong wish"), 2, "Error: wrong wish\n"),
        (OSError("disk full"), 2, "Error: disk full\n"),
        (ToldError("too few"), 3, "Error: too few\n"),
        (KeyboardInterrupt("Go on by: this"), 130, "Interrupted. Go on by: this\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
        (SystemExit(1), 130, "Interrupted.\n"),
    ],
)
def test_every_end_has_its_exit_code_and_one_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raising(error), debug=False) == code
    assert capsys.readouterr().err == said


def test_with_debug_an_error_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="wrong wish"):
        guarded(raising(ValueError("wrong wish")), debug=True)


def test_what_is_our_fault_is_never_hidden() -> None:
    with pytest.raises(RuntimeError, match="a fault"):
        guarded(raising(RuntimeError("a fault")), debug=False)


def test_help_names_all_parts_and_imports_none_of_them() -> None:
    code = "import sys; from fedcmr.run import main\ntry: main(['--help'])\nfinally: assert 'torch' not in sys.modules"
    helped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert all(name in helped.stdout for name in ("med_dual_lora", "phantom", "in_process", "--resume"))
