"""Scaling of logits so that confidences are honest: by a temperature (Guo et al. 2017), or with offsets by class."""

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
    """What logits are multiplied by, and what is then added, by class.

    One factor for all: then it makes no difference whether logits or logarithms of probabilities are scaled.
    """

    factor: float
    offsets: tuple[float, ...] = (0.0,) * len(LABELS)

    def applied(self, probabilities: FloatArray) -> FloatArray:
        """Probabilities, shape (n, classes), as they would be had their logits been scaled."""
        logits = np.log(np.clip(probabilities, 1e-12, None)).astype(np.float64)
        scaled = logits * self.factor + np.array(self.offsets)
        raised = np.exp(scaled - scaled.max(1, keepdims=True))
        out: FloatArray = (raised / raised.sum(1, keepdims=True)).astype(np.float32)
        return out

    def write(self, path: Path) -> None:
        """Writes the scaling as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n")


def read(path: Path) -> Scaling:
    """Reads what `Scaling.write` wrote."""
    raw = json.loads(path.read_text())
    return Scaling(raw["factor"], tuple(raw["offsets"]))


def scaled(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Probabilities, shape (n, classes), as they would be if the logits had been divided by the temperature."""
    return Scaling(1 / temperature).applied(probabilities)


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
    return Scaling(round(1 / fitted(sets), 4))


def with_offsets(sets: Sets) -> Scaling:
    """A factor, and an offset for each class (bias-corrected temperature scaling, Alexandari et al. 2020).

    It may change labels, as it moves where the lines between classes are.
    """

    def scaling(values: FloatArray) -> Scaling:
        return Scaling(float(values[0]), (*map(float, values[1:]), 0.0))

    def loss(values: FloatArray) -> float:
        return sum(nll(scaling(values).applied(probabilities), labels) for probabilities, labels in sets)

    start = np.array([1.0] + [0.0] * (len(LABELS) - 1))
    corners = np.vstack([start, start + 0.3 * np.eye(len(LABELS))])
    options = {"initial_simplex": corners, "xatol": 1e-3, "fatol": 1e-6}
    return scaling(minimize(loss, start, method="Nelder-Mead", options=options).x.round(4))


KINDS = {"temperature": by_temperature, "offsets": with_offsets}
"""The kinds of scaling, by name."""
