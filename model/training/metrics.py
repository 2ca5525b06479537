"""How good answers are: macro recall, macro F1, accuracy and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.labels import LABELS
from model.types import FloatArray, IntArray

BINS = 15


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one data set, each from 0 to 1."""

    macro_recall: float
    macro_f1: float
    accuracy: float
    ece: float
    recall: tuple[float, ...]
    """By class, in the order of `LABELS`."""


def metrics(probabilities: FloatArray, labels: IntArray) -> Metrics:
    """The figures of `n` answers: `probabilities` of shape (n, 3), `labels` of shape (n,), indices into `LABELS`.

    A class that never occurs is left out of the macro averages.
    """
    predicted = probabilities.argmax(1)
    recalls, f1s, present = [], [], []
    for label in range(len(LABELS)):
        hits = int(((predicted == label) & (labels == label)).sum())
        actual, said = int((labels == label).sum()), int((predicted == label).sum())
        recalls.append(hits / actual if actual else float("nan"))
        f1s.append(2 * hits / (actual + said) if actual + said else 0.0)
        present.append(actual > 0)
    return Metrics(
        macro_recall=float(np.mean(np.array(recalls)[present])),
        macro_f1=float(np.mean(np.array(f1s)[present])),
        accuracy=float((predicted == labels).mean()),
        ece=ece(probabilities.max(1), predicted == labels),
        recall=tuple(recalls),
    )


def ece(confidence: FloatArray, correct: np.ndarray[tuple[int], np.dtype[np.bool_]], bins: int = BINS) -> float:
    """Expected calibration error over bins of equal mass: the mean distance of confidence from the share of right answers.

    Answers are sorted by confidence and cut into `bins` parts of equal size (to one answer); a part's distance weighs as many
    answers as it has. Nguyen & O'Connor 2015 argue for equal mass; of equal width, most bins would hold next to nothing.
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(len(part) * abs(confidence[part].mean() - correct[part].mean()) for part in parts) / len(order))


def nll(probabilities: FloatArray, labels: IntArray) -> float:
    """Mean negative log-likelihood of the true labels, in nats."""
    return float(-np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None)).mean())
