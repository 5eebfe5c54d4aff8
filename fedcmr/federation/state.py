"""What a run needs to go on: after each round, what the server sends next and what each client kept.

    state/fold0/round7/server.safetensors     tensors to send, and the server's memory under `memory.`
    state/fold0/round7/<client>.safetensors   that client's private tensors, written by the engine
    state/fold0/round7/hashes.json            file -> SHA-256

A round's folder appears whole or not at all, and what is read is compared with its hashes. Kept are the newest round,
the one before it, to go back to should the newest be damaged, and the one chosen on validation.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fedcmr.federation.rounds import Engine
from fedcmr.messages import Server
from fedcmr.tensors import Tensors

MEMORY = "memory."
HASHES = "hashes.json"


class DamagedError(ValueError):
    """What was saved of a round is not what was written."""


class State:
    """The saved rounds of one fold.

    Args:
        folder: of the run.
        fold: its number.
    """

    def __init__(self, folder: Path, fold: int) -> None:
        self.folder = folder / "state" / f"fold{fold}"

    def save(self, engine: Engine, server: Server, chosen: int) -> None:
        """Writes the round that just closed; forgets all others but the one before it and the chosen one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".round{server.round}.{os.getpid()}"
        for left in self.folder.glob(".round*"):  # by a run that was killed while it wrote
            shutil.rmtree(left)
        unfinished.mkdir()
        tensors = {**server.sent, **{MEMORY + name: tensor for name, tensor in server.memory.items()}}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished / "server.safetensors")
        engine.save(unfinished)
        hashes = {file.name: _sha256(file) for file in sorted(unfinished.iterdir())}
        (unfinished / HASHES).write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(self._of(server.round), ignore_errors=True)
        unfinished.rename(self._of(server.round))
        for number in self.rounds():
            if number not in (server.round, server.round - 1, chosen):
                shutil.rmtree(self._of(number))

    def newest(self, engine: Engine, say: Callable[[str], None]) -> Server | None:
        """Goes back to the newest round that is whole; None where no round was saved.

        Args:
            say: told of each newer one that is passed over.
        Raises: DamagedError where there are rounds, and none of them is whole.
        """
        saved = self.rounds()
        for number in reversed(saved):
            try:
                return self.load(engine, number)
            except DamagedError as error:
                last = error
                say(f"{error} The round before it is gone back to.")
        if saved:
            raise DamagedError(f"{self.folder}: no saved round is whole. {last} Start the run anew in another folder.")
        return None

    def load(self, engine: Engine, number: int) -> Server:
        """Gives the engine what its clients kept after round `number`; returns the server of that round.

        Raises: ValueError where that round is not there; DamagedError where it is not what was written.
        """
        folder = self._of(number)
        if not folder.is_dir():
            raise ValueError(f"{folder} does not exist: round {number} cannot be gone back to.")
        self._check(folder)
        try:
            tensors = load_file(folder / "server.safetensors")
            engine.load(folder)
        except (OSError, SafetensorError) as error:
            raise DamagedError(f"{folder} is damaged ({error}).") from error
        memory = {name.removeprefix(MEMORY): tensors.pop(name) for name in list(tensors) if name.startswith(MEMORY)}
        return Server(number, tensors, memory)

    def kept(self, number: int) -> dict[str, Tensors]:
        """client -> what it kept after round `number`."""
        files = sorted(self._of(number).glob("*.safetensors"))
        return {file.stem: load_file(file) for file in files if file.stem != "server"}

    def rounds(self) -> list[int]:
        """Numbers of the saved rounds, ascending."""
        return sorted(int(path.name.removeprefix("round")) for path in self.folder.glob("round*"))

    def _of(self, number: int) -> Path:
        return self.folder / f"round{number}"

    def _check(self, folder: Path) -> None:
        """Raises: DamagedError where a file is missing, or holds other bytes than were written."""
        try:
            hashes = json.loads((folder / HASHES).read_text(encoding="utf-8"))
            differing = [name for name, wanted in hashes.items() if _sha256(folder / name) != wanted]
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise DamagedError(f"{folder} is damaged ({type(error).__name__}: {error}).") from error
        if differing:
            raise DamagedError(f"{folder} is damaged ({', '.join(differing)}: other bytes than were written).")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
