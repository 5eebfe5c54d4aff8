"""Long-lived processes that run visits: each builds the parts once, then answers jobs until it is told to end."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from fedcmr.federation.client import Federation, Handover, predict, visit
from fedcmr.federation.door import pack, unpack
from fedcmr.messages import Prediction, Server
from fedcmr.parts import Recipe, parts_of
from fedcmr.tensors import Tensors


@dataclass(frozen=True)
class Job:
    """One visit, or, where `part` is named, the scoring of one client's cases in one view."""

    client: str
    server: Server
    kept: Tensors
    participants: tuple[str, ...]
    part: str = ""
    view: str = ""


def run_job(federation: Federation, job: Job) -> Handover | list[Prediction]:
    """Does the job in this process."""
    if job.part:
        return predict(federation, job.client, job.server, job.kept, job.part, job.view)
    return visit(federation, job.client, job.server, job.kept, job.participants)


class WorkerLostError(RuntimeError):
    """A process that runs visits ended before it answered; its clients cannot go on."""

    exit_code = 3


class Workers:
    """A fixed number of processes; jobs go to whoever is free.

    Args:
        recipe: from which each process builds the same parts.
        count: of processes.
    """

    def __init__(self, recipe: Recipe, count: int) -> None:
        context = get_context("spawn")
        self.connections: list[Connection] = []
        self.processes = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, recipe), daemon=True)
            with _uninterrupted():
                process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)

    def run(self, jobs: Sequence[Job]) -> Iterator[Handover | list[Prediction]]:
        """Yields each job's answer as it comes.

        Raises: what a job raised; WorkerLostError where a process ended before it answered.
        """
        waiting = list(jobs)
        free: list[Connection] = list(self.connections)
        busy: list[Connection] = []
        while waiting or busy:
            while waiting and free:
                connection = free.pop(0)
                with self._watched(connection):
                    connection.send(_flat(waiting.pop(0)))
                busy.append(connection)
            ready = wait(busy)
            for connection in [connection for connection in busy if connection in ready]:
                with self._watched(connection):
                    answer = connection.recv()
                busy.remove(connection)
                free.append(connection)
                if isinstance(answer, BaseException):
                    raise answer
                yield _raised(answer)

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()

    @contextmanager
    def _watched(self, connection: Connection) -> Iterator[None]:
        """Names the process at the other end of a connection that broke."""
        try:
            yield
        except (EOFError, ConnectionError) as error:
            process = self.processes[self.connections.index(connection)]
            process.join(timeout=5)
            raise WorkerLostError(
                f"Worker process {process.pid} ended (exit code {process.exitcode}) before it answered: killed, out of "
                "memory, or as said above. Go on by --resume and the run's folder, perhaps with fewer engine.workers."
            ) from error


def serve(connection: Connection, recipe: Recipe) -> None:
    """The life of one worker: parts are made at the first job, so that what is wrong with them is an answer too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    federation: Federation | None = None
    with suppress(EOFError, ConnectionError):
        while True:
            job = _unflat(connection.recv())
            try:
                federation = federation or parts_of(recipe).federation()
                answer = _lowered(run_job(federation, job))
            except (ValueError, RuntimeError) as error:
                answer = error
            connection.send(answer)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process started here inherits that interrupts are held back: whoever starts it is interrupted too and ends it.

    Without it, a process that is still importing would answer with a traceback of its own.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# Tensors cross as bytes: torch's own pickling would hand over file descriptors that outlive the message.


def _flat(job: Job) -> tuple[object, ...]:
    sent, memory = pack(job.server.sent, {}), pack(job.server.memory, {})
    return (job.client, job.server.round, sent, memory, pack(job.kept, {}), job.participants, job.part, job.view)


def _unflat(flat: tuple) -> Job:
    client, round, sent, memory, kept, participants, part, view = flat
    server = Server(round, unpack(sent)[0], unpack(memory)[0])
    return Job(client, server, unpack(kept)[0], participants, part, view)


def _lowered(answer: Handover | list[Prediction]) -> object:
    if isinstance(answer, Handover):
        return (answer.client, answer.payload, pack(answer.kept, {}), answer.loss, answer.seconds)
    return answer


def _raised(answer: object) -> Handover | list[Prediction]:
    if isinstance(answer, tuple):
        client, payload, kept, loss, seconds = answer
        return Handover(client, payload, unpack(kept)[0], loss, seconds)
    assert isinstance(answer, list)
    return answer
