"""The only way out of a client, and the only way into the server.

Out: an update holds SHARED tensors only, and is turned into the very bytes that are counted and sent.
In: the bytes are read back and compared with what the server expects; an update that does not fit is refused whole.
"""

import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from fedcmr.messages import Scores, Update
from fedcmr.strategy.roles import Role
from fedcmr.tensors import TensorName, Tensors

MOST_CASES, MOST_SCORES, LONGEST_HASH, SHOWN = 10**9, 100, 200, 100
"""Bounds on what a client says of itself, far above what any honest one says: our choice."""


class LeakError(RuntimeError):
    """A tensor that is not shared was about to leave a client."""


class RefusedError(ValueError):
    """An update that the server does not let in; its text is the reason."""


def hand_over(update: Update, roles: Mapping[str, Role]) -> bytes:
    """The update as the bytes that leave the client (safetensors; scalars travel as its metadata).

    Raises: LeakError where a tensor is PRIVATE, FROZEN, of no declared role, or a folded delta.
    """
    for name in update.tensors:
        role = roles.get(name)
        if role is not Role.SHARED:
            word = role.name if role else "of no declared role"
            raise LeakError(f"{update.client}: '{name}' is {word} and may not leave the client.")
        if TensorName.parse(name).is_delta:
            raise LeakError(f"{update.client}: '{name}' is a folded delta, which is never uploaded.")
    return pack(
        update.tensors,
        {
            "client": update.client,
            "round": update.round,
            "cases": update.cases,
            "scores": dict(update.scores),
            "private_hash": update.private_hash,
        },
    )


def let_in(payload: bytes, client: str, round: int, expected: Tensors) -> Update:
    """Reads an update and lets it in if it is what was asked for.

    Args:
        payload: bytes that `hand_over` made.
        client, round: whose update of which round is awaited.
        expected: the shared tensors that the server sent; names, shapes and types must be the same.
    Raises: RefusedError naming what was met and what was expected.
    """
    tensors, said = _unpack_or_refuse(payload)
    if said.get("client") != client or said.get("round") != round:
        signed = f"{_short(said.get('client'))}, round {_short(said.get('round'))}"
        raise RefusedError(f"signed {signed}; expected {client}, round {round}")
    missing, surplus = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or surplus:
        met = f"missing {_short(missing[:3])}, unexpected {_short(surplus[:3])}"
        raise RefusedError(f"{met} of {len(expected)} shared tensors")
    for name, tensor in tensors.items():
        wanted = expected[name]
        if tensor.shape != wanted.shape or tensor.dtype != wanted.dtype:
            raise RefusedError(
                f"'{name}' is {tuple(tensor.shape)} {tensor.dtype}, expected {tuple(wanted.shape)} {wanted.dtype}"
            )
        if not torch.isfinite(tensor).all():
            raise RefusedError(f"'{name}' holds values that are not finite")
    return Update(client, round, tensors, *_reported_or_refuse(said))


def far_off(updates: Sequence[Update], sent: Tensors, bound: float) -> dict[str, str]:
    """Updates whose change is too long: ‖u_k − s‖ > bound · median of ‖u_j − s‖ over j ≠ k; client -> reason.

    s is what was sent; a tensor that was not sent counts whole. Two updates cannot tell which of them is far off, so
    fewer than three are never refused.

    Args:
        bound: > 1, or 0 for none.
    """
    if not bound or len(updates) < 3:
        return {}
    norms = {update.client: _change(update.tensors, sent) for update in updates}
    reasons = {}
    for client, norm in norms.items():
        usual = statistics.median(other for name, other in norms.items() if name != client)
        if norm > bound * usual:
            reasons[client] = (
                f"its change has norm {norm:.4g}, more than norm_bound={bound:g} times the others' median {usual:.4g}"
            )
    return reasons


def _change(tensors: Tensors, sent: Tensors) -> float:
    return math.sqrt(
        sum(
            float((tensor.double() - sent[name].double() if name in sent else tensor.double()).square().sum())
            for name, tensor in sorted(tensors.items())
        )
    )


def pack(tensors: Tensors, said: Mapping[str, object]) -> bytes:
    """Tensors and plain values as safetensors bytes, in the order of names."""
    contiguous = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    return save(contiguous, metadata={"said": json.dumps(said, sort_keys=True)})


def unpack(payload: bytes) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """What `pack` packed. Raises: SafetensorError or ValueError where the bytes are damaged."""
    length = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + length])
    said = json.loads(header["__metadata__"]["said"])
    if not isinstance(said, dict):
        raise ValueError(f"the metadata say {type(said).__name__}, expected named values")
    return load(payload), said


def _unpack_or_refuse(payload: bytes) -> tuple[dict[str, torch.Tensor], dict]:
    try:
        return unpack(payload)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError(f"{len(payload)} bytes that are no update ({type(error).__name__})") from error


def _reported_or_refuse(said: Mapping[str, object]) -> tuple[int, Scores, str]:
    """Cases, scores and hash, as plain as they have to be."""
    cases, scores, private_hash = said.get("cases"), said.get("scores"), said.get("private_hash")
    if not isinstance(cases, int) or isinstance(cases, bool) or not 1 <= cases <= MOST_CASES:
        raise RefusedError(f"trained on {_short(cases)} cases, expected 1 to {MOST_CASES:,}")
    if not isinstance(scores, dict) or len(scores) > MOST_SCORES or not all(map(_is_score, scores.values())):
        raise RefusedError(f"scores {_short(scores)}, expected finite numbers or null by name, at most {MOST_SCORES}")
    if not isinstance(private_hash, str) or len(private_hash) > LONGEST_HASH:
        raise RefusedError(f"private_hash {_short(private_hash)}, expected text of at most {LONGEST_HASH} characters")
    return cases, scores, private_hash


def _is_score(value: object) -> bool:
    # compared as they are: a whole number of hundreds of digits is none that math could look at
    return value is None or (isinstance(value, int | float) and -sys.float_info.max <= value <= sys.float_info.max)


def _short(value: object) -> str:
    """What a client said, in a line of the server's journal."""
    said = ascii(value)
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}…"
