"""A finished run's model for other programs.

    python -m fedcmr.export RUN --format merged [--client vendorA] [--fold 0] [--out DIR]
    python -m fedcmr.export RUN --format peft [--client vendorA]

Without --client it is the model that a new client gets: shared tensors, private ones as they were before training. A
client's own model holds what never left the client: who exports it decides whether it now does.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fedcmr.arguments import guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = argparse.ArgumentParser(
        prog="python -m fedcmr.export", description="Write a finished run's model for other programs."
    )
    made.add_argument("run", type=Path, metavar="RUN", help="folder of a finished run")
    made.add_argument("--format", default="merged", metavar="merged|peft", help="default: merged")
    made.add_argument("--client", default="", help="whose model (default: a new client's)")
    made.add_argument("--fold", type=int, default=0, help="of a run with folds, from 0 (default: 0)")
    made.add_argument("--out", type=Path, help="folder (default: RUN/export/FORMAT)")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    said = made.parse_args(arguments)

    def command() -> int:
        from fedcmr.exporting import export

        print(f"Written to {export(said.run, said.format, said.client, said.fold, said.out)}")
        return 0

    return guarded(command, said.debug)


if __name__ == "__main__":
    sys.exit(main())
