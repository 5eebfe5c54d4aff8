"""Which pre-training recipe reads real hearts best, all else equal: each is trained for the same steps and judged.

    python experiments/recipes.py --acdc DIR [--recipes a,b] [--runs FOLDER] [--out FILE.json] [key=value ...]

All recipes start from the embedded backbone's own (configs/experiments/pretrain.yaml) on a third of its cohort and a
thirteenth of its steps, and differ from it as `RECIPES` says. The judge is `backbone_probe.probe_weights` on ACDC's 60
development patients by five folds; the other 40 are never opened. What is finished is not done again.
About twenty minutes a recipe on one core, five for each of the two cohorts; two commands may share the folder if they
name different recipes. `key=value` goes to every pre-training.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from backbone_probe import probe_weights

from fedcmr.pretraining.card import CARD, WEIGHTS, read_card

EQUAL = ("data.scale=0.5", "pretrain.epochs=6", "pretrain.picture_every=6", "pretrain.devices=1", "pretrain.batch=4")
MASKED = ("pretrain.masked=1", "pretrain.segment=0", "pretrain.measure=0")
REALISTIC = ("data.style=realistic",)
RECIPES: Mapping[str, Sequence[str]] = {
    "embedded": (),
    "without measures": ("pretrain.measure=0",),
    "without segmentation": ("pretrain.segment=0",),
    "with masked patches": ("pretrain.masked=1",),
    "masked patches alone": MASKED,
    "masked patches of single frames": (*MASKED, "pretrain.channels=single", "pretrain.epochs=3"),
    "realistic phantoms": REALISTIC,
    "masked patches of realistic phantoms": (*REALISTIC, *MASKED),
}
"""Name -> what differs. Without measures nothing asks for the quantities that define a diagnosis. Single frames are
twice as many images, so they take half the epochs.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 after a message on stderr."""
    parser = argparse.ArgumentParser(description="Compare pre-training recipes on real development patients.")
    parser.add_argument("--acdc", type=Path, required=True, metavar="DIR", help="ACDC's folder")
    parser.add_argument("--recipes", metavar="a,b", help=f"of {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--runs", type=Path, default=Path("runs/recipes"), metavar="FOLDER", help="of the trainings")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="where to write all that was found")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="knobs of every pre-training")
    said = parser.parse_intermixed_args(arguments)
    names = [name.strip() for name in said.recipes.split(",")] if said.recipes else list(RECIPES)
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        print(f"recipes: {', '.join(unknown)}: expected some of {', '.join(RECIPES)}.", file=sys.stderr)
        return 2
    found: dict[str, object] = {}
    for name in names:
        folder, began = said.runs / name.replace(" ", "-"), time.perf_counter()
        if not is_finished(folder) and (failed := train(folder, [*EQUAL, *RECIPES[name], *said.overrides])):
            return failed
        minutes = (time.perf_counter() - began) / 60
        found[name] = {"judged": probe_weights(folder / WEIGHTS, said.acdc), "minutes": minutes}
        print(line(name, found[name]), flush=True)
    if said.out is not None:
        said.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def is_finished(folder: Path) -> bool:
    """Whether the folder holds weights whose pre-training has ended."""
    return (folder / CARD).exists() and "weights_sha256" in read_card(folder)


def train(folder: Path, knobs: Sequence[str]) -> int:
    """Runs the pre-training, or goes on with it; returns its exit status."""
    command = [sys.executable, "-m", "fedcmr.pretrain"]
    if (folder / CARD).exists():
        command += ["--resume", str(folder)]
    else:
        command += ["--config", "pretrain", "--out", str(folder), *knobs]
    return subprocess.run(command, check=False).returncode


def line(name: str, found: object) -> str:
    """Scores of one recipe in a line."""
    assert isinstance(found, dict)
    parts = [f"{name}:"]
    for judge in ("linear", "lora"):
        score = found["judged"][judge]["all"]["auroc"]
        parts.append(f"{judge} AUROC {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})")
    told = {measure: own["correlation"] for measure, own in found["judged"]["encodes"].items()}
    parts += [f"{measure} r {r:.2f}" for measure, r in told.items() if r is not None]
    return " ".join(parts)


if __name__ == "__main__":
    sys.exit(main())
