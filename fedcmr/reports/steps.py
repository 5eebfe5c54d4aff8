"""A round and a summary as flat names and rows, for reports that draw curves and show tables."""

from collections.abc import Mapping, Sequence

from fedcmr.messages import Round, Scores
from fedcmr.reports.reading import at, controls_of, metric_names


def of_client(round: Round, client: str) -> dict[str, float | None]:
    """What a round says of one client."""
    scores = {
        f"validation/{view}/{metric}": value
        for view, metrics in round.scores.get(client, {}).items()
        for metric, value in metrics.items()
    }
    return {
        "training/loss": round.losses.get(client),
        "weight": round.weights.get(client),
        "bytes/up": round.bytes_up.get(client),
        "bytes/down": round.bytes_down.get(client),
        "refused": sum(refusal.client == client for refusal in round.refused),
        "absent": sum(absence.client == client for absence in round.absent),
        **scores,
    }


def of_server(round: Round, overall: Mapping[str, Scores]) -> dict[str, float | None]:
    """What a round says of everybody.

    Args:
        overall: view -> metric of all validation patients as one.
    """
    everybody = {**round.scores, "overall": overall}
    scores = {
        f"validation/{view}/{metric}/{client}": views[view].get(metric)
        for client, views in everybody.items()
        for view in views
        for metric in ("balanced_accuracy", "specificity")
    }
    return {
        **scores,
        **{f"training/loss/{client}": loss for client, loss in round.losses.items()},
        **{f"weight/{client}": weight for client, weight in round.weights.items()},
        "bytes/up": sum(round.bytes_up.values()),
        "bytes/down": sum(round.bytes_down.values()),
        "refused": len(round.refused),
        "absent": len(round.absent),
        **{f"aggregation/{name}": value for name, value in round.aggregation.items()},
    }


def final(scope: Mapping[str, object], names: Sequence[str]) -> dict[str, float]:
    """{"test/mean/personal/auroc": …} of the scopes of these names, or of one scope where there are none."""
    scopes = {f"test/{name}": at(scope, name) for name in names} or {"test": scope}
    return {
        f"{start}/{view}/{metric}": value
        for start, views in scopes.items()
        for view in views
        for metric, value in at(views, view).items()
        if isinstance(value, (int, float))
    }


def comparison(summary: Mapping[str, object]) -> tuple[list[str], list[list[object]]]:
    """A row for each scope and view, then one for each control."""
    scopes = {"mean": at(summary, "mean"), "overall": at(summary, "overall"), **at(summary, "clients")}
    names = metric_names(summary)
    cells = [
        [scope, view, *(at(summary, *path, view).get(name) for name in names)]
        for scope, path in (
            (scope, (scope,) if scope in ("mean", "overall") else ("clients", scope)) for scope in scopes
        )
        for view in at(summary, *path)
    ]
    for control, known in controls_of(summary).items():
        cells.append([f"control: {control}", "", *(known.get(name) for name in names)])
    return ["scope", "view", *names], cells


def table_of_rows(table: Mapping[str, object]) -> tuple[list[str], list[list[object]]]:
    """A comparison's rows with means and standard deviations over seeds, as columns and cells.

    Args:
        table: of table.json.
    """
    rows = table["rows"]
    assert isinstance(rows, Sequence)
    measured = [("personal", "balanced_accuracy"), ("global", "balanced_accuracy")]
    measured += [("personal", name) for name in ("specificity", "sensitivity", "auroc")]
    names = [f"{view}/{name}" for view, name in measured]
    columns = ["algorithm", "fidelity", *(f"{name}{end}" for name in names for end in ("", "/sd"))]
    columns += ["bytes_up_per_client_and_round", "seconds"]
    cells: list[list[object]] = []
    for row in rows:
        found = [at(row, "metrics", "mean", view, name) for view, name in measured]
        spread = [one.get(word) for one in found for word in ("mean", "sd")]
        last = [row[word] for word in ("bytes_up_per_client_and_round", "seconds")]
        cells.append([row["algorithm"], row["fidelity"], *spread, *last])
    return columns, cells
