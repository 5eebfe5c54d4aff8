"""How loud each client is in the server's mean."""

from collections.abc import Sequence

from fedcmr.messages import Round, Update


def by_cases(updates: Sequence[Update], past: Sequence[Round]) -> list[float]:
    """p_k = n_k / Σ n: patients count equally, wherever they are.

    Returns (K,) weights that sum to 1. Raises: ValueError without updates or with a client of no cases.
    Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629.
    """
    for update in updates:
        if update.cases < 1:
            raise ValueError(f"{update.client} hands over an update of {update.cases} cases; expected at least 1.")
    total = sum(update.cases for update in updates)
    if not total:
        raise ValueError("No update to weigh; expected at least one.")
    return [update.cases / total for update in updates]
