"""How loud each client is in the server's mean."""

from collections.abc import Sequence

import torch

from fedcmr.messages import Round, Update
from fedcmr.strategy.products import is_B_beside_A, twin_of


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


def equally(updates: Sequence[Update], past: Sequence[Round]) -> list[float]:
    """p_k = 1 / K: clients count equally, whoever their patients.

    Returns (K,) weights. Raises: ValueError without updates.
    """
    if not updates:
        raise ValueError("No update to weigh; expected at least one.")
    return [1 / len(updates)] * len(updates)


def by_size_of_product(updates: Sequence[Update], past: Sequence[Round]) -> list[float]:
    """p_k = ‖B_k A_k‖ / Σ ‖B A‖, Frobenius norms over all layers: who has learned more speaks louder.

    Returns (K,) weights that sum to 1; equal ones where all products are zero or there are none.
    Raises: ValueError without updates.
    Source: Cho et al. 2024, https://arxiv.org/abs/2401.06432.
    """
    sizes = []
    for update in updates:
        tensors = update.tensors
        squares = [
            (B.double() @ tensors[twin_of(name)].double()).square().sum()
            for name, B in sorted(tensors.items())
            if is_B_beside_A(name, tensors)
        ]
        sizes.append(float(torch.stack(squares).sum().sqrt()) if squares else 0.0)
    total = sum(sorted(sizes))
    return [size / total for size in sizes] if total else equally(updates, past)
