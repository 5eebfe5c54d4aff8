"""What of a round's arithmetic never changes, by count: the first adapted block has a constant input."""

import math

from fedcmr.benchmarks.rows import PASSES
from fedcmr.benchmarks.workload import VIEW, Workload
from fedcmr.models.stem import Stem

ADAPTED = 2
"""Blocks, the last ones; a second one at least, so that only the first has a constant input."""


def constant_share(workload: Workload) -> float:
    """Share of a round's multiplications that the frozen queries, keys and values of the first adapted block take.

    They are W x of a constant x, so a prefix could hold them; the price is 5 T D numbers a case instead of 2 T D.
    Per token, D² for each D x D map and T D for each of the two products of attention, of T tokens:
        forward    blocks · (12 D² + 2 T D)
        backward   as much for every other block and 4 T D for its attention; in the first block 9 D² + 4 T D, since
                   nothing asks for the gradient of its input
        constant   3 D² in each forward pass
    Branches, norms and the head are left out; they would only lower the share.
    """
    D, T = workload.shape.width, 1 + patches(workload)
    forward = ADAPTED * (12 * D**2 + 2 * T * D)
    backward = (ADAPTED - 1) * (12 * D**2 + 4 * T * D) + 9 * D**2 + 4 * T * D
    scored = PASSES * workload.validation
    passes = workload.training + scored
    return passes * 3 * D**2 / (workload.training * (forward + backward) + scored * forward)


def patches(workload: Workload) -> int:
    """Tokens of one case, without the class token."""
    return math.prod(Stem(workload.shape, VIEW).grid)
