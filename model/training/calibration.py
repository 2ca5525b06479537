"""Temperature and vector scaling (Guo et al. 2017): logits are scaled so that confidences are honest."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from model.labels import LABELS
from model.training.metrics import nll
from model.types import FloatArray, IntArray

Sets = list[tuple[FloatArray, IntArray]]
"""Several files' probabilities, shape (n, classes), with their labels; each file has the same weight."""


@dataclass(frozen=True)
class Scaling:
    """What logits are multiplied by, and what is then added, by class."""

    factors: tuple[float, ...]
    offsets: tuple[float, ...] = (0.0,) * len(LABELS)

    def applied(self, probabilities: FloatArray) -> FloatArray:
        """Probabilities, shape (n, classes), as they would be had their logits been scaled."""
        logits = np.log(np.clip(probabilities, 1e-12, None)).astype(np.float64)
        scaled = logits * np.array(self.factors) + np.array(self.offsets)
        raised = np.exp(scaled - scaled.max(1, keepdims=True))
        out: FloatArray = (raised / raised.sum(1, keepdims=True)).astype(np.float32)
        return out

    def write(self, path: Path) -> None:
        """Writes the scaling as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n")


def read(path: Path) -> Scaling:
    """Reads what `Scaling.write` wrote."""
    raw = json.loads(path.read_text())
    return Scaling(tuple(raw["factors"]), tuple(raw["offsets"]))


def scaled(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Probabilities, shape (n, classes), as they would be if the logits had been divided by the temperature."""
    return Scaling((1 / temperature,) * probabilities.shape[1]).applied(probabilities)


def fitted(sets: Sets, lowest: float = 0.25, highest: float = 4.0) -> float:
    """The temperature with the lowest negative log-likelihood, to a thousandth.

    Found by golden-section search, since the negative log-likelihood has a single minimum.
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


def by_temperature(sets: Sets) -> Scaling:
    """One number for all classes, which changes no label."""
    return Scaling((round(1 / fitted(sets), 4),) * len(LABELS))


def by_vector(sets: Sets) -> Scaling:
    """A factor and an offset for each class. It may change labels, as it moves where the lines between classes are."""
    count = len(LABELS)

    def loss(values: FloatArray) -> float:
        # The log of a factor keeps it positive: what is more likely to the model stays so.
        scaling = Scaling(tuple(np.exp(values[:count])), (*values[count:], 0.0))
        return sum(nll(scaling.applied(probabilities), labels) for probabilities, labels in sets)

    found = minimize(loss, np.zeros(2 * count - 1), method="Nelder-Mead", options={"maxiter": 4000, "xatol": 1e-4}).x
    factors, offsets = np.exp(found[:count]), (*found[count:], 0.0)
    return Scaling(tuple(round(float(x), 4) for x in factors), tuple(round(float(x), 4) for x in offsets))


KINDS = {"temperature": by_temperature, "vector": by_vector}
