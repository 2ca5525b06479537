"""What is kept of many texts: 8 numbers, which add up over texts, minutes, segments and streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Numbers = NDArray[np.floating] | NDArray[np.integer]

SIZE = 8
"""Counts of the three labels, then the sums of p_neg, p_pos, p_neg^2, p_pos^2 and p_neg p_pos."""
BYTES = 8 * SIZE
_PACKED = np.dtype("<f8")
_FINITE = "a score is not a number: such a text failed, and is in no share"


def rows(probabilities: NDArray[np.floating]) -> Floats:
    """Each text's own 8 numbers, shape (n, 8), of its scores, shape (n, 3).

    Raises:
        ValueError: the shape is another, or a score is not finite.
    """
    scores = np.asarray(probabilities, np.float64)
    if scores.ndim != 2 or scores.shape[1] != 3:
        raise ValueError(f"scores have the shape (n, 3), not {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(_FINITE)
    negative, positive = scores[:, 0], scores[:, 2]
    found = np.zeros((len(scores), SIZE))
    if len(scores):
        found[np.arange(len(scores)), scores.argmax(1)] = 1
    found[:, 3:] = np.stack([negative, positive, negative**2, positive**2, negative * positive], axis=1)
    return found


def of(probabilities: NDArray[np.floating]) -> Floats:
    """The sums of these texts, shape (8,), of their scores, shape (n, 3)."""
    return np.asarray(rows(probabilities).sum(0))


def by(groups: NDArray[np.integer], size: int, probabilities: NDArray[np.floating]) -> Floats:
    """The sums of each group, shape (size, 8): `groups` holds each text's group, 0 to size - 1, shape (n,)."""
    each = rows(probabilities)
    return np.stack([np.bincount(groups, column, size) for column in each.T], axis=1)


def pack(sums: Floats) -> bytes:
    """The sums as little-endian doubles, 64 bytes for each row of 8."""
    return np.ascontiguousarray(sums, _PACKED).tobytes()


def unpack(raw: bytes) -> Floats:
    """Packed sums, shape (rows, 8). Raises ValueError for a length that is no multiple of 64."""
    return np.frombuffer(raw, _PACKED).reshape(-1, SIZE).astype(np.float64)


def counts(sums: Floats) -> Floats:
    """How many texts have each label, shape (..., 3)."""
    return np.asarray(sums[..., :3])


def texts(sums: Floats) -> Floats:
    """How many texts these are, shape (...)."""
    return np.asarray(sums[..., :3].sum(-1))


def mean(sums: Floats) -> Floats:
    """The mean scores of the three classes, shape (..., 3); zeros where there is no text."""
    number = np.maximum(texts(sums), 1)
    negative, positive = sums[..., 3] / number, sums[..., 4] / number
    neutral = np.where(texts(sums) > 0, 1 - negative - positive, 0.0)
    found = np.empty((*sums.shape[:-1], 3))
    found[..., 0], found[..., 1], found[..., 2] = negative, neutral, positive
    return found


def net(sums: Floats) -> tuple[Floats, Floats]:
    """The mean and the variance over the texts of p_pos - p_neg, each of shape (...); zeros where there is no text."""
    number = np.maximum(texts(sums), 1)
    middle = (sums[..., 4] - sums[..., 3]) / number
    square = (sums[..., 5] + sums[..., 6] - 2 * sums[..., 7]) / number
    return np.asarray(middle), np.maximum(square - middle**2, 0.0)
