"""How well the shares of positive and negative texts of a topic are met by counting the model's answers.

As in subtask D of SemEval-2016 task 4 (Nakov et al. 2016): only texts that people called positive or negative count,
and the model has to choose between the two.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.labels import LABELS
from model.text import clean
from model.types import BoolArray, FloatArray

_GOLD = {"NEGATIVE": False, "POSITIVE": True}


@dataclass(frozen=True)
class Quantified:
    """Means over topics, each of which counts the same."""

    topics: int
    texts: int
    divergence: float
    """Kullback-Leibler divergence of the true shares from those that were counted, smoothed, in nats."""
    absolute_error: float
    """The difference of the true share of positive texts and that which was counted, without its sign."""


def read(path: Path) -> list[tuple[str, str, bool]]:
    """Topic, text and whether it is positive, of the rows of a CSV file with the columns `segment`, `text`, `gold`.

    The file may be packed by gzip; rows that are neither positive nor negative are left out.

    Raises:
        ValueError: a column is missing.
    """
    with gzip.open(path, "rt", encoding="utf-8", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        rows = csv.DictReader(file)
        if missing := {"segment", "text", "gold"} - set(rows.fieldnames or ()):
            raise ValueError(f"{path} has no column {', '.join(sorted(missing))}")
        return [(row["segment"], row["text"], _GOLD[row["gold"]]) for row in rows if row["gold"] in _GOLD]


def quantified(score: Callable[[list[str]], FloatArray], rows: list[tuple[str, str, bool]]) -> Quantified:
    """Scores the texts, and compares the shares of each topic.

    Args:
        score: the model: cleaned texts in, probabilities of shape (texts, classes) out.
        rows: topic, text, and whether it is positive.
    """
    found = score([clean(text) for _, text, _ in rows])
    said: BoolArray = found[:, LABELS.index("POSITIVE")] > found[:, LABELS.index("NEGATIVE")]
    topics: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for (topic, _, gold), positive in zip(rows, said.tolist(), strict=True):
        topics[topic].append((gold, positive))
    divergences, errors = [], []
    for pairs in topics.values():
        true, counted = np.array(pairs, np.float64).mean(0)
        divergences.append(_divergence(true, counted, len(pairs)))
        errors.append(abs(true - counted))
    return Quantified(len(topics), len(rows), float(np.mean(divergences)), float(np.mean(errors)))


def _divergence(true: float, counted: float, texts: int) -> float:
    """The divergence of two shares, smoothed by half a text as the task does it."""
    smoothing = 1 / (2 * texts)
    p, q = ((np.array([share, 1 - share]) + smoothing) / (1 + 2 * smoothing) for share in (true, counted))
    return float((p * np.log(p / q)).sum())
