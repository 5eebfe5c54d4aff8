"""One federation, from the command line or from Python: configuration -> parts -> rounds -> reports.

python -m fedcmr.run --clients vendorA,vendorB,vendorC,vendorD --algorithm med_dual_lora
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr.arguments import configured, guarded, parser

if TYPE_CHECKING:
    from fedcmr.config import Config
    from fedcmr.running import Result


def run(config: "Config", out: Path | None = None, resume: bool = False, root: Path = Path("runs")) -> "Result":
    """Runs the federation that `config` describes (`fedcmr.arguments.configure` makes one) and writes its folder.

    Args:
        out: folder of the run; None for <root>/<algorithm>-<data>-<seed>-<hash of the configuration>.
        resume: go on after the newest round that was saved in that folder.
    Returns its folder and summary; those of the run that is there already, where it is finished.
    Raises: ValueError for a configuration or data that do not fit; TooFewClientsError where too few can go on.
    """
    from fedcmr.reports.folder import default_folder
    from fedcmr.running import course

    return course(config, out if out is not None else default_folder(config, root), resume)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("run", "Train a federation of scanner vendors around one frozen backbone, and score it.")
    made.add_argument("--resume", type=Path, metavar="DIR", help="go on with the unfinished run in this folder")
    said = made.parse_intermixed_args(arguments)
    folder: Path | None = said.resume or said.out

    def command() -> int:
        if said.resume is not None:
            said.config = said.config or str(said.resume / "config.yaml")
        run(configured(said), folder, resume=said.resume is not None)
        return 0

    return guarded(command, said.debug)


if __name__ == "__main__":
    sys.exit(main())
