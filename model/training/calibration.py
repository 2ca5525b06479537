"""Temperature scaling (Guo et al. 2017): one number that calibrates the confidence without changing any label."""

from __future__ import annotations

import numpy as np

from model.training.metrics import nll
from model.types import FloatArray, IntArray


def scaled(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Probabilities, shape (n, classes), as they would be if the logits had been divided by the temperature."""
    logits = np.log(np.clip(probabilities, 1e-12, None)).astype(np.float64) / temperature
    raised = np.exp(logits - logits.max(1, keepdims=True))
    out: FloatArray = (raised / raised.sum(1, keepdims=True)).astype(np.float32)
    return out


def fitted(sets: list[tuple[FloatArray, IntArray]], lowest: float = 0.25, highest: float = 4.0) -> float:
    """The temperature with the lowest negative log-likelihood, to a thousandth.

    Each set of (probabilities, labels) has the same weight. Found by golden-section search, since the negative
    log-likelihood has a single minimum.
    """

    def loss(temperature: float) -> float:
        return sum(nll(scaled(probabilities, temperature), labels) for probabilities, labels in sets)

    golden = (5**0.5 - 1) / 2
    while highest - lowest > 1e-3:
        left, right = highest - golden * (highest - lowest), lowest + golden * (highest - lowest)
        if loss(left) < loss(right):
            highest = right
        else:
            lowest = left
    return round((lowest + highest) / 2, 3)
