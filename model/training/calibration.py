"""Temperature scaling (Guo et al. 2017): one number that makes confidence mean what it says, and changes no label."""

from __future__ import annotations

import numpy as np

from model.training.metrics import nll
from model.types import FloatArray, IntArray


def scaled(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Probabilities, shape (n, classes), as if their logits had been divided by the temperature."""
    logits = np.log(np.clip(probabilities, 1e-12, None)).astype(np.float64) / temperature
    raised = np.exp(logits - logits.max(1, keepdims=True))
    out: FloatArray = (raised / raised.sum(1, keepdims=True)).astype(np.float32)
    return out


def fitted(sets: list[tuple[FloatArray, IntArray]], lowest: float = 0.25, highest: float = 4.0) -> float:
    """The temperature with the lowest negative log-likelihood, to a thousandth; each set of (probabilities, labels)
    weighs the same.

    Golden-section search: the likelihood has one minimum in the temperature.
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
