"""Measures of quality: macro recall, macro F1, accuracy and calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.labels import LABELS
from model.training.data import Example
from model.types import BoolArray, FloatArray, IntArray

BINS = 15


def known_labels(examples: list[Example]) -> IntArray:
    """The class indices of labelled examples, shape (n,)."""
    return np.array([example.label for example in examples], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The quality measured on one data set, each figure from 0 to 1."""

    macro_recall: float
    macro_f1: float
    accuracy: float
    ece: float
    recall: tuple[float, ...]
    """Recall of each class, in the order of `LABELS`."""


def metrics(probabilities: FloatArray, labels: IntArray) -> Metrics:
    """Measures `n` answers; a class that never occurs is left out of the macro averages.

    Args:
        probabilities: class probabilities, shape (n, 3).
        labels: the true classes as indices into `LABELS`, shape (n,).
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


def reliability(confidence: FloatArray, correct: BoolArray, bins: int = BINS) -> list[tuple[float, float, int]]:
    """For each bin, the mean confidence, the share of right answers, and the number of answers.

    Answers are sorted by confidence and cut into `bins` parts of equal size (give or take one answer). Nguyen &
    O'Connor (2015) argue for equal size; with bins of equal width, most would be nearly empty.
    """
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [(float(confidence[part].mean()), float(correct[part].mean()), len(part)) for part in parts]


def ece(confidence: FloatArray, correct: BoolArray, bins: int = BINS) -> float:
    """Expected calibration error: the mean difference between confidence and share of right answers.

    The mean is taken over the bins of `reliability`, weighted by their numbers of answers.
    """
    points = reliability(confidence, correct, bins)
    return sum(count * abs(sure - right) for sure, right, count in points) / len(confidence)


def nll(probabilities: FloatArray, labels: IntArray) -> float:
    """Mean negative log-likelihood of the true labels, in nats."""
    return float(-np.log(np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, None)).mean())
