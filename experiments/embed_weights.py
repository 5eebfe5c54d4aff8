"""Puts finished weights of `python -m fedcmr.pretrain` into the package, with their card and what they are worth.

    python experiments/embed_weights.py RUN --probe FILE.json
    python experiments/embed_weights.py --probe FILE.json

RUN is the folder of the pre-training; FILE.json is what `backbone_probe.py --weights RUN/weights.safetensors --out
FILE.json` wrote. Without RUN the weights in the package stay, and their card gets the scores of FILE.json. Refused are
weights of real patients, of other sizes, above 12 MB, or that the file does not judge.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fedcmr.models import tiny
from fedcmr.pretraining.card import CARD, WEIGHTS

LARGEST_BYTES = 12_000_000
LICENCE = "Apache-2.0, as fedcmr itself: no patient's data went into them"
USE = "The frozen backbone of research on federated fine-tuning. Not a medical device; never for a patient's care."
LIMITS = (
    "Short-axis stacks at end-diastole and end-systole alone, resampled to 1 x 1 x 10 mm; no other view or sequence.",
    "Simulated hearts are smoother than real ones and have a flat base; small structures were never seen in truth.",
    "Groups, vendors and body sizes of the simulation say nothing of how common they are among patients.",
    "Scores on real patients are of one hospital (ACDC); for another scanner or disease measure them anew.",
)
LEFT_OUT = ("weights", "heads")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 after a message on stderr."""
    parser = argparse.ArgumentParser(description="Put pre-trained weights into the package.")
    parser.add_argument("run", type=Path, nargs="?", help="folder of the pre-training; none for new scores alone")
    parser.add_argument("--probe", type=Path, required=True, metavar="FILE.json", help="scores by backbone_probe.py")
    said = parser.parse_args(arguments)
    try:
        print(embed(said.run, said.probe, tiny.FILE) if said.run else rescore(said.probe, tiny.FILE))
    except (ValueError, OSError) as error:
        print(f"embed_weights: {error}", file=sys.stderr)
        return 2
    return 0


def embed(run: Path, probe: Path, into: Path) -> str:
    """Writes `into` and its card beside it; returns a line that says what was written.

    Raises: ValueError for weights that may not be embedded; nothing is then written.
    """
    card, content = json.loads((run / CARD).read_text(encoding="utf-8")), (run / WEIGHTS).read_bytes()
    hashed = hashlib.sha256(content).hexdigest()
    if card.get("weights_sha256") != hashed:
        raise ValueError(f"{run / WEIGHTS}: not the weights of its card. Is the pre-training finished?")
    if card["data"]["name"] != "phantom":
        raise ValueError(f"{run}: pre-trained on {card['data']['name']}; expected simulated hearts alone.")
    if "vendorD" in card["clients_seen"]:
        raise ValueError(f"{run}: has seen vendorD, which must stay unseen. Leave it out of clients.")
    if len(content) > LARGEST_BYTES:
        raise ValueError(f"{run / WEIGHTS}: {len(content)} bytes; expected at most {LARGEST_BYTES}.")
    tiny.build(tiny.Knobs(path=str(run / WEIGHTS)))
    kept = {name: value for name, value in card.items() if name not in LEFT_OUT}
    kept["command"] = without_out(card["command"])
    whole = {**kept, "licence": LICENCE, "use": USE, "limits": LIMITS, "scores": judged(probe, hashed)}
    into.parent.mkdir(exist_ok=True)
    into.write_bytes(content)
    into.with_suffix(".json").write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{into.name}: {len(content)} bytes, SHA-256 {hashed}"


def rescore(probe: Path, weights: Path) -> str:
    """Writes scores into the card of weights that are embedded already; returns a line that says so.

    Raises: ValueError where the file judges other weights.
    """
    card, hashed = weights.with_suffix(".json"), hashlib.sha256(weights.read_bytes()).hexdigest()
    whole = {**json.loads(card.read_text(encoding="utf-8")), "scores": judged(probe, hashed)}
    card.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return f"{card.name}: scores of {probe.name}"


def without_out(command: str) -> str:
    """The command without the folder that it wrote to, which is a place on one machine."""
    words = command.split()
    return " ".join(word for at, word in enumerate(words) if "--out" not in words[max(at - 1, 0) : at + 1])


def judged(probe: Path, hashed: str) -> dict[str, object]:
    """The row of these weights, and whom and by what effort it judges. Raises: ValueError where the file has none."""
    found = json.loads(probe.read_text(encoding="utf-8"))
    for row in found["rows"].values():
        if hashed in row["what"]:
            return {"studies": found["studies"], "effort": found["effort"], **row}
    raise ValueError(f"{probe}: judges no weights with SHA-256 {hashed}. Run backbone_probe.py on them.")


if __name__ == "__main__":
    sys.exit(main())
