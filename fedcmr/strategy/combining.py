"""How the updates of K clients become what the server sends next."""

from collections.abc import Sequence

from fedcmr.messages import Server, Update
from fedcmr.tensors import Tensors, mean


def weighted_mean(updates: Sequence[Update], weights: Sequence[float], server: Server) -> tuple[Tensors, Tensors]:
    """θ = Σ_k p_k θ_k, tensor by tensor: A and B are averaged apart, so that their product is not the mean product.

    Summed in float64 in the order of client names, so that the order of arrival changes no bit.
    Returns (to send, to remember): what the clients share, and no memory.
    Source: McMahan et al. 2017, https://arxiv.org/abs/1602.05629; on LoRA factors: FedIT, https://arxiv.org/abs/2305.05644.
    """
    ordered = sorted(zip(updates, weights, strict=True), key=lambda pair: pair[0].client)
    return mean([update.tensors for update, _ in ordered], [weight for _, weight in ordered]), {}


def mean_beside_the_rest(
    updates: Sequence[Update], weights: Sequence[float], server: Server
) -> tuple[Tensors, Tensors]:
    """The weighted mean of what was handed over, beside what was sent and rested in this round."""
    averaged, memory = weighted_mean(updates, weights, server)
    return {**server.sent, **averaged}, memory
