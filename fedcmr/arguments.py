"""The command line that all commands share: flags and `key=value` -> configuration. Parts are imported late."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr import catalogue

if TYPE_CHECKING:
    from fedcmr.config import Config

FLAGS: Mapping[str, str] = {
    "clients": "clients",
    "algorithm": "algorithm",
    "data": "data",
    "task": "task",
    "rounds": "rounds",
    "seed": "seed",
    "engine": "engine",
}
"""flag -> the knob that it sets; a bare part means its name."""

EMPTY: Mapping[str, object] = {}
USAGE, INTERRUPTED = 2, 130


def parser(command: str, sentence: str, subject: str = "") -> argparse.ArgumentParser:
    """A parser with the flags of the contract.

    Args:
        command: its name; sentence: what it does.
        subject: a positional argument that stands before the overrides, "" for none.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m fedcmr.{command}",
        description=sentence,
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if subject:
        made.add_argument(subject, type=Path, metavar=subject.upper(), help="folder of a finished run")
    made.add_argument("--clients", help="comma-separated, for example vendorA,vendorC or siemens,ge (default: all)")
    made.add_argument("--algorithm", help="default: med_dual_lora")
    made.add_argument("--data", help="default: phantom, the embedded cohort")
    made.add_argument("--task", help="default: detection")
    made.add_argument("--rounds", type=int, help="rounds of federation")
    made.add_argument("--seed", type=int, help="starting values, batch order")
    made.add_argument("--engine", help="default: in_process")
    made.add_argument("--config", help="a named experiment of configs/experiments, or a file")
    made.add_argument("--out", type=Path, help="folder of the run (default: runs/<algorithm>-<data>-<seed>-<hash>)")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="any knob, for example visit.lr=3e-4")
    return made


def configure(overrides: Sequence[str] = (), file: str = "", flags: Mapping[str, object] = EMPTY) -> "Config":
    """The resolved configuration. From Python: `configure(["data=acdc", "data.root=DIR"])`.

    Args:
        overrides: `key=value` strings.
        file: name of an experiment, or path of a YAML file; "" for none.
        flags: dotted key -> value, weaker than overrides.
    Raises: ValueError for whatever is unknown or of the wrong type.
    """
    from fedcmr.config import fill, gather
    from fedcmr.knobs import schema

    raw = gather(experiment_file(file) if file else None, flags, overrides)
    if isinstance(raw.get("clients"), str):
        raw["clients"] = _names(str(raw["clients"]))
    return fill(raw, schema(raw))


def configuration_of(run: Path) -> "Config":
    """The configuration of a run, from its folder. Raises: ValueError where there is none."""
    from fedcmr.config import flattened, gather
    from fedcmr.reports.folder import CONFIG

    return configure(flags=flattened(gather(run / CONFIG, {}, ())))


def configured(arguments: argparse.Namespace) -> "Config":
    """The configuration that the command line asks for."""
    return configure(arguments.overrides, arguments.config or "", flags_of(arguments))


def flags_of(arguments: argparse.Namespace) -> dict[str, object]:
    """Knob -> value, of the flags that were given."""
    return {knob: value for flag, knob in FLAGS.items() if (value := getattr(arguments, flag)) is not None}


def experiment_file(name: str) -> Path:
    """Path of an experiment: a file as it is, or a name in configs/experiments.

    Raises: ValueError with the nearest known name where there is neither.
    """
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    folders = [Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs"]
    files = {path.stem: path for folder in folders for path in sorted((folder / "experiments").glob("*.yaml"))}
    if name not in files:
        raise ValueError(catalogue.unknown("experiment", name, sorted(files)))
    return files[name]


def guarded(command: Callable[[], int], debug: bool) -> int:
    """Runs a command; turns a wrong wish into one message on stderr and the exit codes of the contract."""
    try:
        return command()
    except KeyboardInterrupt as interrupt:
        print(f"Interrupted. {interrupt}".rstrip(), file=sys.stderr)
        return INTERRUPTED
    except SystemExit:  # into which Lightning turns an interrupt inside its trainer
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        # a wrong wish is a ValueError or says its own exit code; any other RuntimeError is our fault: show it
        code: int = getattr(error, "exit_code", 0 if isinstance(error, RuntimeError) else USAGE)
        if debug or not code:
            raise
        print(f"Error: {error}", file=sys.stderr)
        return code


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise ValueError(f"clients={text}: expected one name or more; leave it out for all clients.")
    return names


def _epilog() -> str:
    folders = {
        "algorithms": "algorithms",
        "data": "data",
        "tasks": "tasks",
        "backbones": "models",
        "engines": "engines",
    }
    lines = [f"  {title:<11} {', '.join(catalogue.names(folder))}" for title, folder in folders.items()]
    return "\n".join(["There are:", *lines, "", "Knobs stand in the dataclass beside each part's build()."])
