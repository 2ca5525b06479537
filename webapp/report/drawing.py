"""Random samples of the texts that a report counts, for people to label. Loads numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.shares import sums
from model.shares.clusters import design_effect
from webapp.report.figures import MOST_SHOWN
from webapp.report.table import Table

MOST_DRAWN = 1000
"""The most lines that are drawn of all, or of each segment."""


def draw(table: Table, job: str) -> dict[str, object]:
    """Lines of the largest segments in random order, in the form of `tasks.streams.job_labels.Draw`."""
    order = order_of(table.positions, int(job[:16], 16))
    segments = []
    sizes = np.bincount(table.segment, minlength=len(table.names))
    for place in sorted(range(len(table.names)), key=lambda place: -sizes[place])[:MOST_SHOWN]:
        texts = np.flatnonzero(table.segment == place)
        chosen = texts[np.argsort(order[texts], kind="stable")[:MOST_DRAWN]]
        values = table.scores[texts].argmax(1) - 1.0
        columns = (table.positions[chosen].tolist(), *table.scores[chosen][:, [0, 2]].T.tolist())
        segments.append(
            {
                "name": table.names[place],
                "sums": sums.of(table.scores[texts]).tolist(),
                "design_effect": design_effect(values, np.unique(table.words[texts], return_inverse=True)[1]),
                "lines": list(zip(*columns, strict=True)),
            }
        )
    return {"segments": segments}


def order_of(positions: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Numbers by which lines are in random order, whatever is in them: SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = np.uint64(seed) + positions.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return mixed ^ (mixed >> np.uint64(31))
