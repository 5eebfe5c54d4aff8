"""One federation, from the command line or from Python: configuration -> parts -> rounds -> reports.

python -m fedcmr.run --clients vendorA,vendorB,vendorC,vendorD --algorithm med_dual_lora
"""

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr.arguments import configured, guarded, parser

if TYPE_CHECKING:
    from fedcmr.config import Config
    from fedcmr.running import Result


def run(
    config: "Config",
    out: Path | None = None,
    resume: bool = False,
    root: Path = Path("runs"),
    replay: Path | None = None,
) -> "Result":
    """Runs the federation that `config` describes (`fedcmr.arguments.configure` makes one) and writes its folder.

    Args:
        out: folder of the run; None for <root>/<algorithm>-<data>-<seed>-<hash of the configuration>.
        resume: go on after the newest round that was saved in that folder.
        replay: rounds.jsonl of another run: who was absent or refused there is so here, without a try. Such a run's
            folder is named after it as well.
    Returns its folder and summary; those of the run that is there already, where it is finished.
    Raises: ValueError for a configuration or data that do not fit; TooFewClientsError where too few can go on.
    """
    from fedcmr.reports.folder import default_folder
    from fedcmr.running import course

    folder = out if out is not None else default_folder(config, root)
    if replay is not None and out is None and replay.is_file():
        folder = folder.with_name(f"{folder.name}-replay-{hashlib.sha256(replay.read_bytes()).hexdigest()[:8]}")
    return course(config, folder, resume, replay)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    made = parser("run", "Train a federation of scanner vendors around one frozen backbone, and score it.")
    made.add_argument("--resume", type=Path, metavar="DIR", help="go on with the unfinished run in this folder")
    made.add_argument("--replay", type=Path, metavar="JOURNAL", help="repeat the absences of that run's rounds.jsonl")
    said = made.parse_intermixed_args(arguments)

    def command() -> int:
        if said.resume is not None:
            if said.out is not None:
                raise ValueError(f"--out {said.out} beside --resume: a run goes on in its own folder. Leave --out out.")
            said.config, said.out = said.config or str(_written(said.resume)), said.resume
        run(configured(said), said.out, resume=said.resume is not None, replay=said.replay)
        return 0

    return guarded(command, said.debug)


def _written(folder: Path) -> Path:
    """The configuration that a run wrote into its folder. Raises: ValueError where there is none."""
    file = folder / "config.yaml"
    if not file.is_file():
        raise ValueError(f"{folder} holds no run to resume; expected the folder that a run has named when it ended.")
    return file


if __name__ == "__main__":
    sys.exit(main())
