"""Configuration -> data, model, task, strategy: the one place that puts the parts together, for every engine and command."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from fedcmr import catalogue
from fedcmr.config import Config, Raw, Schema
from fedcmr.data.cases import Case, cache_root, client_name
from fedcmr.data.loaders import ClientData, Fetch
from fedcmr.data.splits import Split, default_split, divide_into_sites, single_class, split_cases
from fedcmr.data.twins import find_twins, join_twins
from fedcmr.data.volumes import Preprocessing, Volumes
from fedcmr.federation.client import Federation
from fedcmr.federation.tuner import Knobs as VisitKnobs
from fedcmr.models.adapters import inject
from fedcmr.models.cardiac import Cardiac
from fedcmr.models.prefixes import Prefixes
from fedcmr.strategy.roles import HeadOwner
from fedcmr.strategy.strategy import Strategy
from fedcmr.tasks.task import Task

DEFAULTS: Mapping[str, str] = {
    "data": "phantom",
    "task": "detection",
    "algorithm": "med_dual_lora",
    "engine": "in_process",
    "backbone": "tiny",
}
Twins = Sequence[tuple[str, str, float]]
"""Pairs of ids that are one patient's, with their images' correlation."""

FOLDERS: Mapping[str, str] = {
    "data": "data",
    "task": "tasks",
    "algorithm": "algorithms",
    "engine": "engines",
    "backbone": "models",
}
POOLED = "pooled"
PHANTOM = "phantom"


@dataclass(frozen=True)
class RunKnobs:
    """The run itself.

    Args:
        clients: names of the clients that take part; empty for all that the data has.
        rounds: how many, ≥ 1.
        seed: of starting values, batch order, choice of views and participation.
        quorum: fewest updates that a round may be closed with, ≥ 1.
    """

    clients: tuple[str, ...] = ()
    rounds: int = 20
    seed: int = 0
    quorum: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.quorum < 1:
            raise ValueError(f"rounds={self.rounds}, quorum={self.quorum}: expected both at least 1.")


@dataclass(frozen=True)
class PatientKnobs:
    """Who trains, validates and tests.

    Args:
        split: "official", "vendor" or "folds"; "auto" for the data set's own default.
        folds: 2 or more for cross-validation, 0 where there are none.
        split_seed: of sites, splits and folds.
        label: "disease" (healthy or not) or "group" (the diagnosis).
        twins: look for studies of one patient under two codes: "auto" (in real data), "yes" or "no".
    """

    split: str = "auto"
    folds: int = 0
    split_seed: int = 0
    label: str = "disease"
    twins: str = "auto"

    def __post_init__(self) -> None:
        if self.label not in ("disease", "group"):
            raise ValueError(f"data.label={self.label}: expected disease or group.")
        if self.twins not in ("auto", "yes", "no"):
            raise ValueError(f"data.twins={self.twins}: expected auto, yes or no.")
        if self.folds < 0 or self.folds == 1:
            raise ValueError(f"data.folds={self.folds}: expected 0 or at least 2.")


@dataclass(frozen=True)
class AdapterKnobs:
    """Where the low-rank branches stand.

    Args:
        blocks: "last-2", "first-2", "all", or numbers such as "4,5".
        layers: of attn.q, attn.kv, attn.proj, mlp.fc1, mlp.fc2.
        dropout: on the branches' input, in [0, 1).
    """

    blocks: str = "last-2"
    layers: tuple[str, ...] = ("attn.q", "attn.kv", "attn.proj")
    dropout: float = 0.0


@dataclass(frozen=True)
class HeadKnobs:
    """owner: whose is the task's head: "shared", "private", "both" (the logits of two heads are added), or "auto": what
    the algorithm fixes, and shared where it leaves the head open.

    With "both" the two heads receive equal gradients, so the server can work out much of the private head from the
    shared one: nothing that has to stay secret should be trusted to it.
    """

    owner: str = "auto"

    def __post_init__(self) -> None:
        if self.owner not in ("auto", "shared", "private", "both"):
            raise ValueError(f"head.owner={self.owner}: expected auto, shared, private or both.")


@dataclass(frozen=True)
class ControlKnobs:
    """blanked: score the last round with the heart blanked too: "auto" (for real patients), "yes" or "no"."""

    blanked: str = "auto"

    def __post_init__(self) -> None:
        if self.blanked not in ("auto", "yes", "no"):
            raise ValueError(f"controls.blanked={self.blanked}: expected auto, yes or no.")


@dataclass(frozen=True)
class PrefixKnobs:
    """keep: compute the frozen part once per case and keep it on disk, instead of at every epoch."""

    keep: bool = True


def schema(raw: Raw) -> Schema:
    """Which knobs there are, given the parts that `raw` names; completes the missing names in `raw`.

    Raises: ValueError for an unknown part, with the nearest known name.
    """
    knobs: dict[str, type] = {}
    for part, default in DEFAULTS.items():
        section = raw.setdefault(part, {})
        if not isinstance(section, dict):
            raise ValueError(f"'{part}: {section}' in the configuration: expected {part}=NAME or {part}.knob=value.")
        knobs[part] = catalogue.entry(FOLDERS[part], str(section.setdefault("name", default))).knobs
    return {
        "": (RunKnobs,),
        "data": (PatientKnobs, Preprocessing, knobs["data"]),
        "task": (knobs["task"],),
        "algorithm": (knobs["algorithm"],),
        "backbone": (knobs["backbone"],),
        "adapter": (AdapterKnobs,),
        "head": (HeadKnobs,),
        "visit": (VisitKnobs,),
        "prefix": (PrefixKnobs,),
        "controls": (ControlKnobs,),
        "engine": (knobs["engine"],),
    }


@dataclass(frozen=True)
class Recipe:
    """From which any process makes the same parts: the configuration and the number of the fold."""

    config: Config
    fold: int = 0


@dataclass(frozen=True)
class Parts:
    """The parts of a run.

    Args:
        recipe: what they were made from.
        cases: all cases of the chosen clients, labelled or not.
        twins: studies of one patient that were found under two codes.
        folds: client -> Split, one for each fold; a single one without folds.
        warnings: what a reader of the results has to know.
        volumes: the prepared images.
        model: frozen backbone, adapters and head.
        task, strategy: as configured.
        fidelity: how near the algorithm is to its publication.
    """

    recipe: Recipe
    cases: tuple[Case, ...]
    twins: Twins
    folds: tuple[Mapping[str, Split], ...]
    warnings: tuple[str, ...]
    volumes: Volumes
    model: Cardiac
    task: Task
    strategy: Strategy
    fidelity: str

    @property
    def config(self) -> Config:
        return self.recipe.config

    def at(self, fold: int) -> "Parts":
        """The same parts for another fold; the model is the same object."""
        return replace(self, recipe=replace(self.recipe, fold=fold))

    @property
    def is_phantom(self) -> bool:
        return self.config.names["data"] == PHANTOM

    @property
    def blanks_heart(self) -> bool:
        """Whether the last round is scored with the heart blanked as well."""
        wish = self.config.of("controls", ControlKnobs).blanked
        return wish == "yes" or (wish == "auto" and not self.is_phantom)

    def used(self) -> tuple[Case, ...]:
        """Every case that trains, validates or tests in some fold, once, in the order of ids."""
        members = {
            case.id: case
            for fold in self.folds
            for split in fold.values()
            for case in (*split.train, *split.val, *split.test)
        }
        return tuple(members[id] for id in sorted(members))

    def fetch(self) -> Fetch:
        """A case -> its prefix, computed at most once and kept on disk; or its volume, where no prefixes are kept."""
        volumes, backbone = self.volumes, self.model.backbone

        def volume(case: Case) -> Mapping[str, Tensor]:
            return {"sax": volumes[case]}

        if not self.config.of("prefix", PrefixKnobs).keep:
            return volume
        prefixes = Prefixes(cache_root() / "prefixes", backbone, backbone.split)
        keys: dict[str, str] = {}

        def prefix(case: Case) -> Mapping[str, Tensor]:
            if case.id not in keys:
                keys[case.id] = volumes.key(case)
            return prefixes.get(keys[case.id], 0, lambda: self.model.prefix_of(volume(case)))

        return prefix

    def federation(self) -> Federation:
        """The clients of this fold around the model."""
        visit = self.config.of("visit", VisitKnobs)
        if self.strategy.optimizer:
            visit = replace(visit, optimizer=self.strategy.optimizer)
        start = self.model.start(self.config.of("", RunKnobs).seed)
        fetch = self.fetch()
        splits = self.folds[self.recipe.fold]
        if self.strategy.pool:
            splits = {POOLED: pooled(splits)}
        clients = {
            name: ClientData(name, split, self.label_of, fetch, visit.batch, self.task.samples_balanced)
            for name, split in splits.items()
        }
        return Federation(
            self.model, start, clients, self.strategy, self.task, visit, self.config.of("", RunKnobs).seed
        )

    def label_word(self, case: Case) -> str:
        """Name of a case's class; "" where it has no diagnosis."""
        return label_word(self.task)(case)

    def label_of(self, case: Case) -> int:
        """Class index of a labelled case."""
        label = self.task.label(case.group)
        assert label is not None, f"{case.id} has no label"
        return label


def parts_of(recipe: Recipe, everyone_tests: bool = False) -> Parts:
    """Puts the parts together.

    Args:
        everyone_tests: every labelled patient is a test patient, and nobody trains.
    Raises: ValueError wherever the configuration asks for what the data cannot give.
    """
    config = recipe.config
    patients = config.of("data", PatientKnobs)
    volumes = Volumes(config.of("data", Preprocessing))
    cases, twins = _cases(config, patients, volumes)
    task = catalogue.entry("tasks", config.names["task"]).build(config.sections["task"][0])
    task = task.with_labels(patients.label, sorted({case.group for case in cases if case.group}))
    folds = [_all_test(cases)] if everyone_tests else _folds(config, patients, cases, task)
    strategy, fidelity, owners = _strategy(config)
    model = _model(config, strategy, task, owners)
    return Parts(
        recipe,
        tuple(cases),
        twins,
        tuple(folds),
        _warnings(folds, task),
        volumes,
        model,
        task,
        strategy,
        fidelity,
    )


def pooled(splits: Mapping[str, Split]) -> Split:
    """All clients' cases as those of one."""
    return Split(
        tuple(case for split in splits.values() for case in split.train),
        tuple(case for split in splits.values() for case in split.val),
        tuple(case for split in splits.values() for case in split.test),
    )


def _cases(config: Config, patients: PatientKnobs, volumes: Volumes) -> tuple[list[Case], Twins]:
    """The chosen clients' cases. Twins are joined first, so that neither a site nor a split parts one patient."""
    entry = catalogue.entry("data", config.names["data"])
    knobs: object = config.of("data", entry.knobs)
    cases = entry.build(knobs)
    twins: Twins = ()
    if patients.twins == "yes" or (patients.twins == "auto" and config.names["data"] != PHANTOM):
        twins = find_twins(cases, volumes)
        cases = join_twins(cases, twins)
    sites = getattr(knobs, "sites", 0)
    if sites:
        cases = divide_into_sites(cases, sites, patients.split_seed)
    return _of_clients(cases, config.of("", RunKnobs).clients), twins


def _of_clients(cases: list[Case], asked: Sequence[str]) -> list[Case]:
    """The cases of the clients that were asked for; all of them where none was."""
    if not asked:
        return cases
    known = sorted({case.client for case in cases})
    chosen = [client_name(name, known) for name in asked]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice:
        raise ValueError(f"Client {', '.join(twice)} is named twice; expected each client once.")
    return [case for case in cases if case.client in chosen]


def _folds(config: Config, patients: PatientKnobs, cases: list[Case], task: Task) -> list[dict[str, Split]]:
    if patients.split == "auto":
        rule, folds = default_split(config.names["data"], cases)
        if patients.folds:
            rule, folds = "folds", patients.folds
    else:
        rule, folds = patients.split, patients.folds or (5 if patients.split == "folds" else 0)
    return split_cases(cases, rule, folds, patients.split_seed, label_word(task))


def _all_test(cases: list[Case]) -> dict[str, Split]:
    labelled = [case for case in cases if case.group]
    clients = sorted({case.client for case in labelled})
    return {client: Split((), (), tuple(c for c in labelled if c.client == client)) for client in clients}


def label_word(task: Task) -> Callable[[Case], str]:
    """A case -> the name of its class."""

    def word(case: Case) -> str:
        label = task.label(case.group)
        return "" if label is None else task.classes[label]

    return word


def _strategy(config: Config) -> tuple[Strategy, str, tuple[str, ...]]:
    entry = catalogue.entry("algorithms", config.names["algorithm"])
    strategy = entry.build(config.sections["algorithm"][0])
    wish, fixed = config.of("head", HeadKnobs).owner, getattr(entry.module, "HEAD", "")
    if fixed and wish not in ("auto", fixed):
        raise ValueError(
            f"head.owner={wish}: {entry.name} fixes the head's owner to {fixed}. Leave head.owner out, "
            "or choose an algorithm that leaves it open, such as med_dual_lora."
        )
    owner = fixed or ("shared" if wish == "auto" else wish)
    return (
        replace(strategy, role=HeadOwner(owner, strategy.role)),
        entry.module.FIDELITY,
        ("global", "local") if owner == "both" else (),
    )


def _model(config: Config, strategy: Strategy, task: Task, owners: tuple[str, ...]) -> Cardiac:
    entry = catalogue.entry("models", config.names["backbone"])
    backbone = entry.build(config.sections["backbone"][0])
    adapter = config.of("adapter", AdapterKnobs)
    seed = config.of("", RunKnobs).seed
    inject(backbone, strategy.branches, adapter.blocks, adapter.layers, seed, adapter.dropout)
    return Cardiac(backbone, task.head(backbone.width, backbone.views, owners))


def _warnings(folds: list[dict[str, Split]], task: Task) -> tuple[str, ...]:
    return tuple(
        f"{client}: all {part} patients are {label}; scores that need both classes are null"
        for client, part, label in single_class(folds, label_word(task))
    )
