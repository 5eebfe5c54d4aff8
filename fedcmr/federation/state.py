"""What a run needs to go on: after each round, what the server sends next and what each client kept.

    state/fold0/round7/server.safetensors     tensors to send, and the server's memory under `memory.`
    state/fold0/round7/<client>.safetensors   that client's private tensors, written by the engine

A round's folder appears whole or not at all. Two are kept: the newest, and the one chosen on validation.
"""

import os
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fedcmr.federation.rounds import Engine
from fedcmr.messages import Server
from fedcmr.tensors import Tensors

MEMORY = "memory."


class State:
    """The saved rounds of one fold.

    Args:
        folder: of the run.
        fold: its number.
    """

    def __init__(self, folder: Path, fold: int) -> None:
        self.folder = folder / "state" / f"fold{fold}"

    def save(self, engine: Engine, server: Server, chosen: int) -> None:
        """Writes the round that just closed; forgets all others but the chosen one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".round{server.round}.{os.getpid()}"
        for left in self.folder.glob(".round*"):  # by a run that was killed while it wrote
            shutil.rmtree(left)
        unfinished.mkdir()
        tensors = {**server.sent, **{MEMORY + name: tensor for name, tensor in server.memory.items()}}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, unfinished / "server.safetensors")
        engine.save(unfinished)
        shutil.rmtree(self._of(server.round), ignore_errors=True)
        unfinished.rename(self._of(server.round))
        for number in self.rounds():
            if number not in (server.round, chosen):
                shutil.rmtree(self._of(number))

    def load(self, engine: Engine, number: int) -> Server:
        """Gives the engine what its clients kept after round `number`; returns the server of that round.

        Raises: ValueError where that round is not there or cannot be read.
        """
        folder = self._of(number)
        if not folder.is_dir():
            raise ValueError(f"{folder} does not exist: round {number} cannot be gone back to.")
        try:
            tensors = load_file(folder / "server.safetensors")
            engine.load(folder)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"{folder} is damaged ({error}): the run cannot go on from it. Start it anew in another folder."
            ) from error
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
