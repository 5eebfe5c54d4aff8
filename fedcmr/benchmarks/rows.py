"""The rows of a benchmark: one and the same client's round, walked in four ways.

A round of one client, in every row: one epoch over the training cases, and three passes over the validation cases, as
the in-process engine makes them: the trained model before anything is averaged, then the personal and the global view.
Every row uses the same optimizer on the same batches in the same order, on one torch thread.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from fedcmr.benchmarks.usual import state_to_send, usual_round
from fedcmr.benchmarks.workload import CLIENT, Stage, cases, initial
from fedcmr.federation.client import Federation, predict, visit, visit_seed
from fedcmr.federation.door import let_in, pack, unpack
from fedcmr.federation.scoring import VIEWS, score, views_to_run
from fedcmr.federation.tuner import Tuner
from fedcmr.messages import Server
from fedcmr.models.threads import one_thread
from fedcmr.strategy.strategy import Phase

PASSES = 1 + len(VIEWS)
"""Over the validation cases in one round."""


@dataclass(frozen=True)
class Walked:
    """What one round leaves.

    Args:
        loss: mean over the training steps.
        bytes_up: what the client hands over; 0 in a row that has no server.
    """

    loss: float
    bytes_up: int


Round = Callable[[], Walked]
"""A round that is ready to be timed."""

Row = Callable[[Stage], Round]
"""Makes ready what the row may find ready; only what it returns is timed."""


def bound(stage: Stage) -> Round:
    """The least that the arithmetic must cost: a bare loop over the adapted blocks and the head, from prefixes that lie
    in memory as batches. Nothing is installed, hashed, packed or counted.
    """
    federation = stage.federation(stage.prefixes)
    model, data = stage.model, federation.clients[CLIENT]
    data.reseed(visit_seed(federation.seed, 1, CLIENT))
    batches, validation = list(data.train_dataloader()), list(data.scoring_dataloader("val"))
    weights_L = federation.task.class_weights(data.class_counts(len(federation.task.classes)))
    model.load(federation.start)
    model.train_only(federation.start.keys())
    tuner = Tuner(model, federation.task, federation.knobs, Phase(), frozenset(federation.start), {}, {}, weights_L)

    def round() -> Walked:
        with one_thread():
            optimizer = tuner.configure_optimizers()
            live = list(model.live().values())
            losses: list[Tensor] = []
            for batch in batches:
                loss = federation.task.loss(model(batch["inputs"]), batch["label"], weights_L)
                optimizer.zero_grad()
                loss.backward()
                clip_grad_norm_(live, federation.knobs.clip)
                optimizer.step()
                losses.append(loss.detach())
            with torch.inference_mode():
                for _ in range(PASSES):
                    for batch in validation:
                        federation.task.probabilities(model(batch["inputs"]))
            return Walked(float(torch.stack(losses).mean()), 0)

    return round


def fedcmr(stage: Stage) -> Round:
    """A visit and its scoring as they are in a run, from prefixes kept on disk."""
    return _as_in_a_run(stage.federation(stage.prefixes))


def no_prefix(stage: Stage) -> Round:
    """The same from volumes in memory: the frozen blocks are run again in every pass."""
    return _as_in_a_run(stage.federation(stage.volumes))


def usual_way(stage: Stage) -> Round:
    """What is usually written, see `usual.py`: a new model, filled from the server's whole state dict, new loaders and
    new Trainers, the whole forward pass, and the whole state dict handed over.

    Kept cheaper than it often is: Trainers write no files, volumes lie in memory, and one model serves training and
    scoring.
    """
    workload = stage.workload
    sent = pack(state_to_send(stage), {})

    def round() -> Walked:
        loss, state = usual_round(workload, unpack(sent)[0], stage.volumes, PASSES)
        return Walked(loss, len(pack(state, {"cases": workload.training})))

    return round


def bf16(stage: Stage) -> Round:
    """As `fedcmr`, in bfloat16: prefixes kept in it, and forward passes under autocast. Its numbers are others."""
    federation = stage.federation(stage.halved)
    for case in (*cases(stage.workload).train, *cases(stage.workload).val):
        stage.halved(case, 0)
    return _as_in_a_run(replace(federation, knobs=replace(federation.knobs, precision="bf16-mixed")))


ROWS: Mapping[str, Row] = {"bound": bound, "fedcmr": fedcmr, "no_prefix": no_prefix, "usual_way": usual_way}
TRIED: Mapping[str, Row] = {"fedcmr": fedcmr, "bf16": bf16}
"""What might win more, beside what there is."""


def _as_in_a_run(federation: Federation) -> Round:
    server = initial(federation)
    assert federation.trainer  # made once for all visits of a process, so no visit pays for it

    def round() -> Walked:
        handover = visit(federation, CLIENT, server, {}, (CLIENT,))
        update = let_in(handover.payload, CLIENT, 1, federation.awaited(CLIENT, 1))
        strategy, names = federation.strategy, list(federation.start)
        after = Server(1, *strategy.combine([update], strategy.weigh([update], []), server))
        predictions = [
            prediction
            for view in views_to_run(strategy, names, 1)
            for prediction in predict(federation, CLIENT, after, handover.kept, "val", view)
        ]
        score(federation.task, predictions, strategy, names, 1)
        return Walked(handover.loss, len(handover.payload))

    return round
