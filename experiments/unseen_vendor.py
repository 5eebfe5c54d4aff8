"""A vendor that no client has: what it gets from the federation, and what a few patients of its own add.

    python experiments/unseen_vendor.py [--unseen vendorD] [--algorithms a,b] [--seeds N] [--draws N] [--out DIR]
                                        [key=value ...]

The other vendors' federation is trained as fedcmr.run would. The unseen vendor's test patients are then scored by the
global view, and again after k of its training patients have tuned, alone and with all else frozen,
    adapter   the local branch; where a method has none, its one branch
    head      the head: the control that needs no adapter
Patients are drawn DRAWS times for each k, stratified by label (k = 1 takes the classes in turn); the candidates are its
training and validation patients, so that one test set, which holds none of them, serves all draws; a k beyond their
number is left out. Each tuning makes STEPS steps with the visit's rate. Mean and standard deviation run over draws and
seeds, which share the test patients. About a quarter of an hour on one core for each algorithm and seed, on phantoms.
"""

import argparse
import io
import itertools
import json
import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from fedcmr.arguments import configure
from fedcmr.data.cases import Case
from fedcmr.data.loaders import ClientData
from fedcmr.data.splits import Split
from fedcmr.exporting import Finished, finished
from fedcmr.federation.client import Federation, predict, visit
from fedcmr.federation.tuner import Knobs as VisitKnobs
from fedcmr.messages import Server
from fedcmr.parts import Parts, Recipe, parts_of
from fedcmr.readying import ready
from fedcmr.reports.folder import CONFIG
from fedcmr.reports.statistics import estimate
from fedcmr.running import train
from fedcmr.strategy.finishing import split_by_role
from fedcmr.strategy.installing import overwrite
from fedcmr.strategy.roles import Role
from fedcmr.strategy.strategy import one_phase
from fedcmr.tabling import in_federation
from fedcmr.tensors import TensorName

COUNTS = (1, 5, 10, 20)
DRAWS, STEPS = 20, 20
VENDORS = ("vendorA", "vendorB", "vendorC", "vendorD")
METRICS = ("balanced_accuracy", "auroc", "specificity")
NONE, ADAPTER, HEAD = "global view", "adapter", "head"


@dataclass(frozen=True)
class Only:
    """Role of a tensor where one kind of them is tuned: PRIVATE for those, FROZEN for all others.

    Args:
        branch: whose factors are tuned; "" for the head.
    """

    branch: str

    def __call__(self, name: TensorName, round: int) -> Role:
        tuned = name.is_factor and name.branch == self.branch if self.branch else name.is_head
        return Role.PRIVATE if tuned else Role.FROZEN


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 after a message on stderr."""
    parser = argparse.ArgumentParser(description="Score a vendor that no client has.")
    parser.add_argument("--unseen", default="vendorD", choices=VENDORS)
    parser.add_argument("--algorithms", default="med_dual_lora,fedavg_lora", metavar="a,b")
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="federations, with seed and data.seed + 0 … N-1"
    )
    parser.add_argument(
        "--draws", type=int, default=DRAWS, metavar="N", help=f"of patients for each k (default {DRAWS})"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/unseen"), metavar="DIR")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="knobs of every run")
    said = parser.parse_intermixed_args(arguments)
    try:
        found = {
            name: [one(said, name, seed) for seed in range(said.seeds)]
            for name in [word.strip() for word in said.algorithms.split(",")]
        }
    except ValueError as error:
        print(f"unseen_vendor: {error}", file=sys.stderr)
        return 2
    table = summed_up(found)
    said.out.mkdir(parents=True, exist_ok=True)
    result = {"unseen": said.unseen, "draws": said.draws, "steps": STEPS, "seeds": said.seeds, "rows": table}
    (said.out / "unseen.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    text = markdown(result)
    (said.out / "unseen.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def one(said: argparse.Namespace, algorithm: str, seed: int) -> dict[str, list[dict[str, float | None]]]:
    """ "tuned, k" -> the scores of each draw, for one algorithm and one federation."""
    knobs = [f"algorithm={algorithm}", *said.overrides]
    config, stranger = (
        configure([*knobs, *in_federation(configure(knobs), seed), f"clients=[{','.join(names)}]"])
        for names in ([name for name in VENDORS if name != said.unseen], [said.unseen])
    )
    folder = said.out / "runs" / f"{algorithm}-without-{said.unseen}-{seed}"
    quiet = Console(file=io.StringIO())
    train(config, folder, (folder / CONFIG).exists(), quiet, said.out.name)
    print(f"{algorithm}, seed {seed}: trained without {said.unseen}", file=sys.stderr, flush=True)
    parts = parts_of(Recipe(stranger))
    ready([(parts, parts.inputs_wanted())], quiet, 2)
    model = finished(folder)
    start = model.model.read()
    scores = {f"{NONE}, 0": [tuned(parts, model, Only(""), (), 0)]}
    split = parts.folds[0][said.unseen]
    candidates = sorted((*split.train, *split.val), key=lambda case: case.id)
    branch = "local" if any(own.name == "local" for own in model.strategy.branches) else model.strategy.branches[0].name
    for what, only in ((ADAPTER, Only(branch)), (HEAD, Only(""))):
        for k in [k for k in COUNTS if k <= len(candidates)]:
            draws = [drawn(candidates, k, parts.label_of, draw) for draw in range(said.draws)]
            scores[f"{what}, {k}"] = []
            for number, cases in enumerate(draws):
                model.model.load(start)
                scores[f"{what}, {k}"].append(tuned(parts, model, only, cases, number))
            print(f"{algorithm}, seed {seed}: {what} with {k} patients", file=sys.stderr, flush=True)
    return scores


def drawn(candidates: Sequence[Case], k: int, label_of: Callable[[Case], int], draw: int) -> tuple[Case, ...]:
    """k of the candidates, as stratified by label as k allows; a function of (candidates, k, draw).

    Each class gets its share, rounded down; what is left goes to the classes in turn, another one first in each draw.
    Raises: ValueError where there are fewer candidates.
    """
    if k > len(candidates):
        raise ValueError(f"{k} of {len(candidates)} candidates: expected no more than there are.")
    chance = random.Random(f"{k}/{draw}")
    classes = sorted({label_of(case) for case in candidates})
    groups = {label: [case for case in candidates if label_of(case) == label] for label in classes}
    wanted = {label: math.floor(k * len(own) / len(candidates)) for label, own in groups.items()}
    turns = (classes[(draw + place) % len(classes)] for place in itertools.count())
    while sum(wanted.values()) < k:
        label = next(turns)
        wanted[label] += wanted[label] < len(groups[label])
    return tuple(case for label, own in groups.items() for case in chance.sample(own, wanted[label]))


def tuned(parts: Parts, model: Finished, only: Only, cases: tuple[Case, ...], draw: int) -> dict[str, float | None]:
    """Scores of the unseen vendor's test patients after tuning with these cases; before any where there are none.

    The new client's model is the start of a federation of its own, in which nothing is sent.
    """
    (client,) = parts.folds[0]
    knobs, split = parts.config.of("visit", VisitKnobs), Split(cases, (), parts.folds[0][client].test)
    data = ClientData(client, split, parts.label_of, parts.inputs(), knobs.batch, parts.task.samples_balanced, 1)
    alone = replace(
        model.strategy, role=only, phases=one_phase, install=overwrite, finish=split_by_role, pool=False, aux=()
    )
    epochs = math.ceil(STEPS / data.steps_per_epoch()) if cases else 1
    visits = replace(knobs, epochs=epochs, optimizer="adamw")
    made = Federation(model.model, model.model.read(), {client: data}, alone, parts.task, visits, draw)
    server, kept = Server(0, {}), {}
    if cases:
        kept = visit(made, client, server, {}, (client,)).kept
    predictions = predict(made, client, server, kept, "test", "personal")
    scores = parts.task.scores([one.label for one in predictions], [one.probabilities for one in predictions], 0.5)
    return {name: scores[name] for name in METRICS}


def summed_up(found: Mapping[str, list[dict[str, list[dict[str, float | None]]]]]) -> list[dict[str, object]]:
    """A row for each algorithm, what was tuned, and k: mean and standard deviation over draws and seeds."""
    rows = []
    for algorithm, seeds in found.items():
        for key in seeds[0]:
            what, _, k = key.partition(", ")
            row: dict[str, object] = {"algorithm": algorithm, "tuned": what, "patients": int(k)}
            for name in METRICS:
                own = estimate([draw[name] for seed in seeds for draw in seed[key]])
                row[name] = {"mean": own.mean, "sd": own.sd, "n": own.n}
            rows.append(row)
    return rows


def markdown(result: Mapping[str, object]) -> str:
    """The table as Markdown."""
    rows = result["rows"]
    assert isinstance(rows, list)
    head = ["algorithm", "tuned", "patients", "bal. acc.", "AUROC", "specificity"]
    lines = [f"| {' | '.join(head)} |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        cells = [spread(row[name]) for name in METRICS]
        lines.append(f"| {row['algorithm']} | {row['tuned']} | {row['patients']} | {' | '.join(cells)} |")
    note = (
        f"{result['unseen']} was no client. {result['draws']} draws of patients for each number, {result['seeds']} "
        f"federation(s), {result['steps']} steps. Mean ± standard deviation over draws; all share the test patients."
    )
    return "\n".join([*lines, "", note]) + "\n"


def spread(found: Mapping[str, float | None]) -> str:
    mean, sd = found["mean"], found["sd"]
    return "-" if mean is None else f"{mean:.3f}" + (f" ± {sd:.3f}" if sd is not None else "")


if __name__ == "__main__":
    sys.exit(main())
