"""Rounds and results in Weights & Biases: one group an experiment, one run for each client and one for the server.

Offline unless WANDB_MODE says online or disabled; then `wandb sync` sends the files below <out>/wandb. All runs have
the axis `round`. Patient codes are salted unless patients are simulated; the salt stays in <out>/wandb/local.json,
which `wandb sync` does not send.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from fedcmr.messages import Round, Scores
from fedcmr.reports.journal import COLUMNS, Reported
from fedcmr.reports.reading import at
from fedcmr.reports.steps import comparison, final, of_client, of_server, table_of_rows
from fedcmr.tasks.task import Task

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger
    from wandb import Run

PROJECT = "fedcmr"
SERVER, TRAINING, TABLE = "server", "pretrain", "table"
MODES = ("offline", "online", "disabled")
FOLD_STRIDE = 100_000
"""Steps of W&B must only grow, from fold to fold and over a resumed run; the axis that is drawn is `round`."""

NOT_POOLED: Mapping[str, Scores] = {}


class WandbLog:
    """The runs of one experiment; a context manager that ends them.

    Args:
        folder: of the run; W&B writes below <folder>/wandb.
        group: name of the experiment.
        config: the resolved configuration, written into every run.
        clients: names of the clients.
        salted: whether patient codes are replaced by salted hashes.
        folds: how many folds there are; with more than one, metrics stand under `fold1/`, `fold2/`, …
        mode: "offline", "online" or "disabled"; "" for what WANDB_MODE says.
    Raises: ValueError for another mode, and where W&B does not start.
    """

    def __init__(
        self,
        folder: Path,
        group: str,
        config: Mapping[str, object],
        clients: Sequence[str],
        salted: bool = True,
        folds: int = 1,
        mode: str = "",
    ) -> None:
        self.folder, self.group, self.config, self.folds = folder, group, config, folds
        self.clients = sorted(clients)
        self.mode = mode or wanted_mode()
        if self.mode not in MODES:
            raise ValueError(f"WANDB_MODE={self.mode}: expected one of {', '.join(MODES)}.")
        self.salted = salted
        self.loggers: dict[str, WandbLogger] = {}
        if self.mode != "disabled":
            self.ids, self.salt = _local(folder / "wandb" / "local.json", [SERVER, *self.clients])
            self.loggers = {name: self._logger(name) for name in (SERVER, *self.clients)}

    def __enter__(self) -> "WandbLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(failed=kind is not None)

    def round(self, round: Round, overall: Mapping[str, Scores] = NOT_POOLED) -> None:
        """One step in every run.

        Args:
            overall: view -> metric of all validation patients as one; empty where they are not in one place.
        """
        prefix = f"fold{round.fold + 1}/" if self.folds > 1 else ""
        step = round.fold * FOLD_STRIDE + round.number
        for client in self.clients:
            self._log(client, of_client(round, client), prefix, round.number, step)
        self._log(SERVER, of_server(round, overall), prefix, round.number, step)

    def finish(self, summary: Mapping[str, object], rows: Sequence[Reported], task: Task) -> None:
        """Final scores, predictions and the comparison of clients as tables; ends the runs.

        Args:
            summary: of summary.json.
            rows: of predictions.csv.
            task: gives the names of the classes.
        """
        for name, logger in self.loggers.items():
            own = [row for row in rows if name in (SERVER, row.prediction.client)]
            columns = [*COLUMNS, *(f"p_{word}" for word in task.classes)]
            logger.log_table("predictions", columns, [self._cells(row, task.classes) for row in own])
            scope = at(summary) if name == SERVER else at(summary, "clients", name)
            logger.experiment.summary.update(final(scope, ("mean", "overall") if name == SERVER else ()))
        if SERVER in self.loggers:
            columns, cells = comparison(summary)
            self.loggers[SERVER].log_table("comparison", columns, cells)
        self.close()

    def close(self, failed: bool = False) -> None:
        """Ends the runs; a second call does nothing."""
        for logger in self.loggers.values():
            logger.experiment.finish(exit_code=int(failed))
        self.loggers = {}

    def _logger(self, name: str) -> "WandbLogger":
        from lightning.pytorch.loggers import WandbLogger

        logger = WandbLogger(experiment=self._started(name))
        # flat words, by which a dashboard groups and filters
        chosen = {part: at(self.config, part).get("name") for part in ("algorithm", "data", "task", "backbone")}
        logger.log_hyperparams(
            {**self.config, **{f"{part}_name": name for part, name in chosen.items()}, "client": name}
        )
        return logger

    def _started(self, name: str) -> "Run":
        job = "server" if name == SERVER else "client"
        return _begun(self.folder, self.group, job, name, self.ids[name], self.mode, "round")

    def _log(self, name: str, metrics: Mapping[str, float | None], prefix: str, number: int, step: int) -> None:
        if name in self.loggers:
            known = {f"{prefix}{key}": value for key, value in metrics.items() if value is not None}
            self.loggers[name].experiment.log({**known, "round": number}, step=step)

    def _cells(self, row: Reported, classes: Sequence[str]) -> list[object]:
        said = row.prediction
        patient = said.patient
        if self.salted:
            patient = hashlib.sha256(f"{self.salt}/{patient}".encode()).hexdigest()[:12]
        place = [said.client, patient, said.part, row.fold, said.view, row.round]
        return [*place, classes[said.label], classes[row.decided], *said.probabilities]


def training_logger(folder: Path, name: str, config: Mapping[str, object]) -> "WandbLogger | None":
    """One run of its own for a training without clients, on the axis `epoch`; None where WANDB_MODE is disabled.

    Args:
        folder: of the training; W&B writes below <folder>/wandb. A resumed training goes on under the same id.
        name: of the run and of its group. config: the resolved configuration.
    Raises: ValueError for another mode, and where W&B does not start.
    """
    mode = wanted_mode()
    if mode not in MODES:
        raise ValueError(f"WANDB_MODE={mode}: expected one of {', '.join(MODES)}.")
    if mode == "disabled":
        return None
    from lightning.pytorch.loggers import WandbLogger

    ids, _ = _local(folder / "wandb" / "local.json", [TRAINING])
    logger = WandbLogger(experiment=_begun(folder, name, TRAINING, name, ids[TRAINING], mode, "epoch"))
    logger.log_hyperparams(dict(config))
    return logger


def log_table(folder: Path, group: str, table: Mapping[str, object]) -> None:
    """A run of its own for a finished comparison: its rows as a table, its files as an artifact of type "table".

    Nothing where WANDB_MODE is disabled. The same folder goes on under the same id.

    Args:
        folder: of the table; its files are taken, its runs are not. group: that its runs stand in.
        table: of table.json.
    Raises: ValueError for another mode, and where W&B does not start.
    """
    mode = wanted_mode()
    if mode not in MODES:
        raise ValueError(f"WANDB_MODE={mode}: expected one of {', '.join(MODES)}.")
    if mode == "disabled":
        return
    import wandb

    ids, _ = _local(folder / "wandb" / "local.json", [TABLE])
    run = _begun(folder, group, TABLE, f"{group}-{TABLE}", ids[TABLE], mode, "round")
    columns, cells = table_of_rows(table)
    shown = wandb.Table(columns=[*columns])
    for row in cells:
        shown.add_data(*row)
    run.log({TABLE: shown})
    artifact = wandb.Artifact(f"{group}-{TABLE}", type=TABLE)
    for file in sorted(folder.iterdir()):
        if file.is_file():
            artifact.add_file(str(file))
    run.log_artifact(artifact)
    run.finish()


def wanted_mode() -> str:
    """What WANDB_MODE says; "offline" where it says nothing."""
    return os.environ.get("WANDB_MODE", "").lower() or "offline"


def _begun(folder: Path, group: str, job: str, name: str, id: str, mode: str, axis: str) -> "Run":
    """A run of W&B, drawn over `axis`. Raises: ValueError where W&B does not start."""
    import wandb

    try:
        run = wandb.init(
            project=PROJECT,
            group=group,
            job_type=job,
            name=name,
            id=id,
            dir=folder,
            # offline, a resumed run is a second folder of the same id, which `wandb sync` joins
            resume="allow" if mode == "online" else None,
            reinit="create_new",
            mode="online" if mode == "online" else "offline",
            settings=wandb.Settings(
                silent=True,
                console="off",
                x_disable_stats=True,
                x_disable_meta=True,
                disable_git=True,
                save_code=False,
            ),
        )
    except wandb.Error as error:
        raise ValueError(
            f"WANDB_MODE={mode}: W&B does not start ({error}). Log in by `wandb login`, or leave "
            "WANDB_MODE out and send the files later by `wandb sync`."
        ) from error
    run.define_metric(axis)
    run.define_metric("*", step_metric=axis)
    return run


def _local(file: Path, names: Sequence[str]) -> tuple[dict[str, str], str]:
    """(ids of the runs, salt): made once in a folder, so that a resumed run goes on under the same ids."""
    ids, salt = {}, secrets.token_hex(16)
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        ids, salt = dict(known["ids"]), str(known["salt"])
    ids |= {name: secrets.token_hex(8) for name in names if name not in ids}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"ids": ids, "salt": salt}, indent=2, sort_keys=True), encoding="utf-8")
    return ids, salt
