"""Pre-training of the backbone, from hidden patches, masks or both: images in, weights and their card out.

python -m fedcmr.pretrain --config pretrain --out DIR
python -m fedcmr.run backbone.path=DIR/weights.safetensors
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr.arguments import experiment_file, guarded

if TYPE_CHECKING:
    from fedcmr.config import Config

FLAGS = {"clients": "clients", "data": "data", "seed": "pretrain.seed", "epochs": "pretrain.epochs"}
"""flag -> the knob that it sets."""


def parser() -> argparse.ArgumentParser:
    """The command's own flags: it knows no algorithm, task or rounds."""
    made = argparse.ArgumentParser(
        prog="python -m fedcmr.pretrain",
        description="Train the backbone: to tell hidden patches, to outline the heart, to measure it.",
    )
    made.add_argument("--clients", help="whose training patients are seen, comma-separated (default: all)")
    made.add_argument("--data", help="default: phantom, the embedded cohort")
    made.add_argument("--seed", type=int, help="starting values, order, hidden patches, views")
    made.add_argument("--epochs", type=int, help="passes over all images")
    made.add_argument("--config", help="a named experiment of configs/experiments, or a file")
    made.add_argument("--out", type=Path, help="folder of the training (default: runs/pretrain-<data>-<seed>-<hash>)")
    made.add_argument("--resume", type=Path, metavar="DIR", help="go on with the unfinished training in this folder")
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    made.add_argument("overrides", nargs="*", metavar="key=value", help="any knob, for example pretrain.lr=3e-4")
    return made


def configured(said: argparse.Namespace) -> "Config":
    """The configuration that the command line asks for. Raises: ValueError for whatever is unknown."""
    from fedcmr.config import fill, gather
    from fedcmr.pretraining.knobs import schema

    flags = {knob: value for flag, knob in FLAGS.items() if (value := getattr(said, flag)) is not None}
    file = experiment_file(said.config) if said.config else None
    if said.resume is not None:
        file = said.resume / "config.yaml"
    raw = gather(file, flags, said.overrides)
    if isinstance(raw.get("clients"), str):
        raw["clients"] = [name.strip() for name in str(raw["clients"]).split(",") if name.strip()]
    return fill(raw, schema(raw))


def default_folder(config: "Config", root: Path) -> Path:
    """root/pretrain-<data>-<seed>-<hash of the configuration>."""
    seed = config.plain()["pretrain"]["seed"]
    return root / f"pretrain-{config.names['data']}-{seed}-{config.digest()[:8]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    said = parser().parse_intermixed_args(arguments)
    words = sys.argv[1:] if arguments is None else list(arguments)

    def command() -> int:
        from fedcmr.pretraining.course import Start, pretrain

        config = configured(said)
        folder = said.resume or said.out or default_folder(config, Path("runs"))
        began = datetime.now().astimezone().isoformat(timespec="seconds")
        start = Start(began, shlex.join(["python", "-m", "fedcmr.pretrain", *words]))
        pretrain(config, folder, said.resume is not None, start)
        return 0

    return guarded(command, said.debug)


if __name__ == "__main__":
    sys.exit(main())
