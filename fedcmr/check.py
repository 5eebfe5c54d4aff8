"""Preflight: who would train on what, and which tensors would be sent and kept. Trains nothing, writes no run.

python -m fedcmr.check --data acdc data.root=DIR data.sites=3
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedcmr.arguments import configured, guarded, parser

if TYPE_CHECKING:
    from fedcmr.config import Config


def check(config: "Config", out: Path | None = None) -> None:
    """Prints the preflight of a run.

    Args:
        out: folder that the run would get; None for its default.
    Raises: ValueError for whatever the run itself would refuse before training.
    """
    from rich.console import Console

    from fedcmr.federation.door import pack
    from fedcmr.knobs import RunKnobs
    from fedcmr.parts import Recipe, parts_of
    from fedcmr.reports.folder import default_folder, look
    from fedcmr.reports.patients import print_patients
    from fedcmr.reports.tables import print_roles
    from fedcmr.results import provenance, role_groups

    folder = out or default_folder(config, Path("runs"))
    found = look(folder, config, resume=False)
    console, parts = Console(), parts_of(Recipe(config))
    parts.check_min_clients()
    for line in (*provenance(parts), *parts.warnings):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    said = f"{config.names['algorithm']}: {parts.strategy}"
    console.print(said, highlight=False, markup=False, soft_wrap=True)
    print_patients(console, parts.folds, parts.label_word, parts.task.classes)
    print_roles(console, role_groups(parts))
    knobs = config.of("", RunKnobs)
    start = parts.strategy.completed(parts.model.start(knobs.seed))
    roles = parts.strategy.roles(list(start), 1)
    for name, role in sorted(roles.items()):
        console.print(f"  {role.value:<8}{name} {tuple(start[name].shape)}", highlight=False)
    shared = parts.strategy.awaited(start, 1, {})
    each = len(pack(shared, {})) if shared else 0
    clients = 1 if parts.strategy.pool else len(parts.folds[0])
    total = each * clients * knobs.rounds * len(parts.folds)
    console.print(
        f"About {each / 1000:.1f} kB up per client and round, {total / 1e6:.2f} MB in {knobs.rounds} rounds of "
        f"{clients} client(s) and {len(parts.folds)} fold(s). Nothing was trained.",
        highlight=False,
        soft_wrap=True,
    )
    console.print(
        f"The run's folder would be {folder}; it holds {found.value}.", highlight=False, markup=False, soft_wrap=True
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    said = parser("check", "Say what a run would train, send and keep; train nothing.").parse_intermixed_args(arguments)

    def command() -> int:
        check(configured(said), said.out)
        return 0

    return guarded(command, said.debug)


if __name__ == "__main__":
    sys.exit(main())
