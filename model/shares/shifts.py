"""Shifts in texts that are all there, as those of a finished job."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from model.shares.detector import checked
from model.shares.recent import Recent
from model.shares.scan import BLOCK
from model.shares.shift import Shift
from model.shares.sums import Floats, Integers, Numbers
from model.shares.thresholds import SIZE_ERRORS, WHEN_DROP, offline_threshold

MOST_BLOCKS = 2000
"""Blocks that the texts are cut into at most: a shift's time is told to within one of them."""
SIDE = 4
"""Blocks that are needed on each side of a shift."""


def shifts(
    times: Numbers,
    values: Numbers,
    keys: NDArray[np.integer] | None = None,
    false_alarms: float = 0.05,
) -> list[Shift]:
    """All shifts of the mean, in the order of time.

    Args:
        times: when each text was written, epoch seconds, shape (n,), in any order.
        values: p_pos - p_neg of each, shape (n,).
        keys: a digest of each text's words, shape (n,): equal texts count once, as in `Detector`. None: all do.
        false_alarms: the probability that texts without any shift yield one.

    In many intervals of all lengths (seeded binary segmentation: Kovács, Bühlmann, Li and Munk 2023) the best split is
    sought; of the intervals whose split is above the threshold, the shortest tells a shift, as it rarely holds two
    (narrowest over threshold: Baranowski, Chen and Fryzlewicz 2019). Then each shift's time is found anew between its
    neighbours. In a `Shift`, `found` is the end of the new level.
    """
    values, times = checked(values, times, keys)
    order = np.argsort(times, kind="stable")
    if keys is not None:
        order = order[Recent().new(np.asarray(keys)[order])]
    parts = Parts.of(values[order])
    if parts is None:
        return []
    least = offline_threshold(false_alarms, parts.blocks) ** 2
    found = parts.placed(narrowest(parts, least))
    return [parts.shift(found, place, times[order]) for place in range(len(found))]


@dataclass(frozen=True, slots=True)
class Parts:
    """Texts in the order of time, cut into blocks; in a simulation with one row for each run in all arrays."""

    bounds: Integers
    """The texts before each block, and all texts, shape (blocks + 1,)."""
    totals: Floats
    """The sums of the values before each block, shape (..., blocks + 1)."""
    spreads: Floats
    """The sums of squares about the blocks' own means, which shifts hardly change, shape (..., blocks + 1)."""

    @classmethod
    def of(cls, values: Floats) -> Parts | None:
        """The values, shape (..., n), in blocks of at least BLOCK; None for fewer than two sides."""
        texts = values.shape[-1]
        blocks = min(texts // BLOCK, MOST_BLOCKS)
        if blocks < 2 * SIDE:
            return None
        bounds = np.arange(blocks + 1) * texts // blocks
        sizes = np.diff(bounds)
        totals = np.add.reduceat(values, bounds[:-1], axis=-1)
        squares = np.add.reduceat(values**2, bounds[:-1], axis=-1) - totals**2 / sizes
        start = np.zeros((*values.shape[:-1], 1))
        return cls(
            bounds,
            np.concatenate([start, np.cumsum(totals, -1)], -1),
            np.concatenate([start, np.cumsum(np.maximum(squares, 0.0), -1)], -1),
        )

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.bounds) - 1

    def squares(self, start: int, end: int) -> Floats:
        """((after - before) / error)^2 for each split of the blocks, from start + SIDE to end - SIDE.

        The error is s sqrt(1/l + 1/r), with l and r texts on the two sides and s^2 the mean variance in the blocks.
        """
        left = (self.bounds[start + SIDE : end - SIDE + 1] - self.bounds[start]).astype(np.float64)
        texts = float(self.bounds[end] - self.bounds[start])
        total = self.totals[..., end] - self.totals[..., start]
        first = self.totals[..., start + SIDE : end - SIDE + 1] - self.totals[..., start, None]
        variance = (self.spreads[..., end] - self.spreads[..., start]) / (texts - (end - start))
        apart = first - left * (total / texts)[..., None]
        return np.asarray(apart**2 / (left * (1 - left / texts)) / np.maximum(variance, 1e-6)[..., None])

    def penalty(self, start: int, end: int) -> float:
        """2 log(blocks / length): there are more short intervals than long ones, see `model.shares.scan`."""
        return 2 * log(self.blocks / (end - start))

    def placed(self, found: list[int]) -> list[int]:
        """The shifts, each at its best place between its neighbours, as the shortest interval need not hold it."""
        ends = [0, *found, self.blocks]
        for place in range(1, len(ends) - 1):
            squares = self.squares(ends[place - 1], ends[place + 1])
            ends[place] = ends[place - 1] + SIDE + int(squares.argmax())
        return ends[1:-1]

    def shift(self, found: list[int], place: int, times: Floats) -> Shift:
        """What is told of one of the shifts."""
        start, middle, end = [0, *found, self.blocks][place : place + 3]
        squares = self.squares(start, end)
        likely = np.flatnonzero(squares >= squares[middle - start - SIDE] - WHEN_DROP) + start + SIDE
        sizes = [int(self.bounds[middle] - self.bounds[start]), int(self.bounds[end] - self.bounds[middle])]
        before = float(self.totals[middle] - self.totals[start]) / sizes[0]
        after = float(self.totals[end] - self.totals[middle]) / sizes[1]
        variance = float(self.spreads[end] - self.spreads[start]) / (sum(sizes) - (end - start))
        half = SIZE_ERRORS * sqrt(variance * (1 / sizes[0] + 1 / sizes[1]))
        bounds = np.minimum(self.bounds, len(times) - 1)
        return Shift(
            when=float(times[bounds[middle]]),
            earliest=float(times[bounds[max(likely[0] - 1, start)]]),
            latest=float(times[bounds[min(likely[-1] + 1, end)]]),
            before=before,
            after=after,
            size=after - before,
            low=after - before - half,
            high=after - before + half,
            texts_before=sizes[0],
            texts_after=sizes[1],
            found=float(times[bounds[end]]),
        )


def intervals(blocks: int) -> list[tuple[int, int]]:
    """Intervals of all lengths, each overlapping the next by half, the shortest first: seeded, after Kovács et al."""
    found: dict[tuple[int, int], None] = {}
    length = float(blocks)
    while length >= 2 * SIDE:
        number = 2 * int(np.ceil(blocks / length)) - 1
        for start in np.linspace(0, blocks - length, number):
            found[int(start), min(int(np.ceil(start + length)), blocks)] = None
        length /= sqrt(2)
    return sorted(found, key=lambda one: one[1] - one[0])


def narrowest(parts: Parts, least: float) -> list[int]:
    """The blocks at which the shortest intervals above the threshold have their best splits, in order."""
    found: list[int] = []
    for start, end in intervals(parts.blocks):
        if end - start < 2 * SIDE or any(start < one < end for one in found):
            continue
        squares = parts.squares(start, end)
        if squares.max() - parts.penalty(start, end) > least:
            found.append(start + SIDE + int(squares.argmax()))
    return sorted(found)
