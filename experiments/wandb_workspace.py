"""Builds the comparison workspace in Weights & Biases: balanced accuracy, specificity and bytes for each algorithm.

    python experiments/wandb_workspace.py --entity NAME [--project fedcmr] [--group TABLE] [--dry]

Runs are those that fedcmr logged, of one table where --group names it. `--dry` prints the workspace as JSON and sends
nothing; otherwise it is saved under the account that `wandb login` knows, and its address is printed.
Needs the package wandb-workspaces: pip install 'fedcmr[dashboard]'.
"""

import argparse
import sys
from collections.abc import Sequence

from wandb_workspaces import expr
from wandb_workspaces.reports import v2 as reports
from wandb_workspaces.workspaces import Section, Workspace
from wandb_workspaces.workspaces.interface import RunsetSettings, WorkspaceSettings

from fedcmr.reports.wandb_log import PROJECT, SERVER

ALGORITHM = "algorithm_name"
"""The configuration's word by which runs stand together: which algorithm, over its seeds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status: 0, or 2 after a message on stderr."""
    parser = argparse.ArgumentParser(description="Build the comparison workspace in Weights & Biases.")
    parser.add_argument("--entity", required=True, metavar="NAME", help="user or team")
    parser.add_argument("--project", default=PROJECT)
    parser.add_argument("--group", default="", metavar="TABLE", help="the runs of one table (default: all)")
    parser.add_argument("--dry", action="store_true", help="print it as JSON and send nothing")
    said = parser.parse_args(arguments)
    made = workspace(said.entity, said.project, said.group)
    if said.dry:
        print(made._to_model().model_dump_json(indent=2))
        return 0
    try:
        print(made.save().url)
    except Exception as error:  # the client raises errors of network, account and permission, each of its own kind
        print(
            f"wandb_workspace: not saved ({error}). Log in by `wandb login`, or look at it by --dry.", file=sys.stderr
        )
        return 2
    return 0


def workspace(entity: str, project: str, group: str) -> Workspace:
    """Test scores, curves over rounds, and what was sent, each by algorithm; server runs alone.

    Args:
        group: of the runs that are shown; "" for all of the project.
    """
    kept = [expr.Metric("JobType") == SERVER, *([expr.Metric("Group") == group] if group else [])]
    return Workspace(
        entity=entity,
        project=project,
        name=f"fedcmr: algorithms{f' of {group}' if group else ''}",
        sections=[
            Section(
                name="Test patients, mean over clients",
                is_open=True,
                panels=[
                    *(bars(f"test/mean/personal/{metric}") for metric in ("balanced_accuracy", "specificity", "auroc")),
                    bars("test/mean/global/balanced_accuracy"),
                ],
            ),
            Section(
                name="Validation, round by round",
                is_open=True,
                panels=[
                    *(
                        curve(f"validation/personal/{metric}/overall")
                        for metric in ("balanced_accuracy", "specificity")
                    ),
                    curve("aggregation/error"),
                    curve("aggregation/cosine"),
                ],
            ),
            Section(name="Sent", is_open=True, panels=[curve("bytes/up"), curve("bytes/down")]),
        ],
        settings=WorkspaceSettings(x_axis="round"),
        runset_settings=RunsetSettings(filters=kept, groupby=[expr.Config(ALGORITHM)]),
    )


def bars(metric: str) -> reports.BarPlot:
    """The last value of a metric, a bar for each algorithm, over seeds."""
    return reports.BarPlot(title=metric, metrics=[metric], groupby=reports.Config(ALGORITHM))


def curve(metric: str) -> reports.LinePlot:
    """A metric over rounds, a line for each algorithm, its shade over seeds."""
    return reports.LinePlot(
        title=metric, x="round", y=[metric], groupby=reports.Config(ALGORITHM), groupby_rangefunc="minmax"
    )


if __name__ == "__main__":
    sys.exit(main())
