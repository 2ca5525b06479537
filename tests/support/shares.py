"""Scores of a model that errs, for tests of shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def biased_scores(gold: Integers, seed: int, shift: float = 0.0) -> Floats:
    """Scores of texts with these labels, by a model that is right on about three quarters of them.

    Args:
        gold: the labels, 0 to 2, shape (n,).
        seed: of the model's errors.
        shift: by so much of a text's weight the model takes texts for better than they are.
    """
    rng = np.random.default_rng(seed)
    weights = rng.gamma(1.0, 0.4, (len(gold), 3))
    weights[np.arange(len(gold)), gold] += 1.0
    weights[:, 2] += 2 * shift * weights[:, 0]
    weights[:, 0] *= 1 - shift
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float64)
