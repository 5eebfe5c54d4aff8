"""Flower's simulation engine around the usual way: one SuperNode, whose client does what `usual.py` does.

The server hands on every round's state as it came, which is what the average of one client is. Ray's processes live as
long as the simulation; volumes are made once in them, before the first round.
"""

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fedcmr.benchmarks.measuring import Timed, steps_counted
from fedcmr.benchmarks.memory import Peak, peak_bytes
from fedcmr.benchmarks.rows import PASSES
from fedcmr.benchmarks.usual import state_to_send, usual_round
from fedcmr.benchmarks.workload import VIEW, Workload, cases, stage, volume
from fedcmr.data.cases import Case
from fedcmr.models.shape import BackboneShape
from fedcmr.tensors import count_bytes

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from flwr.serverapp import Grid

FLOWER = "flower"
HAS_FLOWER = find_spec("flwr") is not None and find_spec("ray") is not None

QUIETLY = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's default gives way to all other work of the machine
}
ARRAYS, SAID = "arrays", "said"


def simulate(workload: Workload, folder: Path, repeats: int) -> tuple[Timed, Peak]:
    """Runs 1 + `repeats` rounds of one client in Flower's simulation engine; for a process of its own.

    Args:
        folder: of prefixes, which only the making of the first state looks into.
    Returns: the rounds after the first, each from the server's sending to its having the answer, with the first one's
        loss, and the bytes of the values without Flower's envelope; memory of the client's process, and the seconds
        from here, where fedcmr's imports are done, to the end of the first round.
    Raises: RuntimeError where the client did not answer.
    """
    os.environ |= QUIETLY
    began = time.perf_counter()
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    logging.getLogger("flwr").setLevel(logging.ERROR)
    state = state_to_send(stage(workload, folder))
    answers: list[tuple[float, Mapping[str, float]]] = []
    to_first_round = 0.0
    server, client = ServerApp(), ClientApp()
    client.train()(_train)

    @server.main()
    def main(grid: "Grid", context: "Context") -> None:
        nonlocal to_first_round
        sent = state
        while not list(grid.get_node_ids()):
            time.sleep(0.01)
        for _ in range(1 + repeats):
            before = time.perf_counter()
            sent, said = _ask(grid, workload, sent)
            answers.append((time.perf_counter() - before, said))
            to_first_round = to_first_round or time.perf_counter() - began

    wishes = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"log_to_driver": False}}
    run_simulation(server, client, num_supernodes=1, backend_config=wishes)  # type: ignore[arg-type]
    first, last = answers[0][1], answers[-1][1]
    seconds = tuple(seconds for seconds, _ in answers[1:])
    timed = Timed(seconds, (), int(first["steps"]), first["loss"], count_bytes(state))
    return timed, Peak(int(first["imports"]), int(last["peak"]), to_first_round)


def _ask(grid: "Grid", workload: Workload, sent: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Mapping[str, float]]:
    """Sends the state to the one client and waits for its own."""
    from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

    shape = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(workload.shape).items()}
    plain = {name: value for name, value in asdict(workload).items() if name != "shape"}
    content = RecordDict(
        {ARRAYS: ArrayRecord(dict(sent)), "workload": ConfigRecord(plain), "shape": ConfigRecord(shape)}
    )
    (node,) = grid.get_node_ids()
    (answer,) = grid.send_and_receive([Message(content, dst_node_id=node, message_type=MessageType.TRAIN)])
    if answer.has_error():
        raise RuntimeError(f"Flower's client did not answer: {answer.error}")
    said = answer.content.metric_records[SAID]
    return answer.content.array_records[ARRAYS].to_torch_state_dict(), {name: float(said[name]) for name in said}  # type: ignore[arg-type]


def _train(message: "Message", context: "Context") -> "Message":
    """The client's part: the usual way, from the state in the message."""
    from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

    records = message.content.config_records
    shape = {name: tuple(value) if isinstance(value, list) else value for name, value in records["shape"].items()}
    workload = Workload(BackboneShape(**shape), **records["workload"])  # type: ignore[arg-type]
    imports, made = peak_bytes(), _volumes(workload)

    def volumes(case: Case, view: int) -> Mapping[str, Tensor]:
        return {VIEW: made[case.id]}

    with steps_counted() as steps:
        loss, state = usual_round(
            workload, message.content.array_records[ARRAYS].to_torch_state_dict(), volumes, PASSES
        )
    said = MetricRecord({"loss": loss, "steps": len(steps), "imports": imports, "peak": peak_bytes()})
    return Message(RecordDict({ARRAYS: ArrayRecord(state), SAID: said}), reply_to=message)


@cache
def _volumes(workload: Workload) -> dict[str, Tensor]:
    split = cases(workload)
    return {case.id: volume(workload, case) for case in (*split.train, *split.val)}
