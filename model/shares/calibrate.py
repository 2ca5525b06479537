"""`python -m model.shares.calibrate`: the thresholds of `model.shares.thresholds`, by simulation; some minutes.

Each run is a stream without any shift. What is counted is the runs that raise an alarm, under several thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np

from model.shares.scan import BLOCK, Block, Blocks
from model.shares.shifts import MOST_BLOCKS, Parts, intervals
from model.shares.sums import Floats
from model.shares.thresholds import OFFLINE_RATES

Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]
"""Draws values of p_pos - p_neg, of the shape given."""

FEWEST = 200
"""Runs without an alarm after the first third that are needed to tell the rate of the rest."""

STREAMS: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "nearly always at an end": lambda rng, shape: 2 * rng.beta(0.3, 0.3, shape) - 1,
    "mostly negative": lambda rng, shape: np.where(rng.random(shape) < 0.1, 0.8, -0.9),
}


def highest(draw: Draw, runs: int, texts: int, seed: int) -> Floats:
    """For each run the highest score of its windows up to the end of each BLOCK texts, shape (texts / BLOCK, runs)."""
    rng = np.random.default_rng(seed)
    blocks = Blocks()
    found = np.full((texts // BLOCK, runs), -np.inf)
    for step in range(texts // BLOCK):
        values = draw(rng, (runs, BLOCK))
        blocks.append(Block(BLOCK, values.sum(1), (values**2).sum(1), 0.0))
        windows = blocks.windows()
        if windows is not None:
            found[step] = windows.score.max(0)
    return np.maximum.accumulate(found)


def rate(scores: Floats, threshold: float) -> float:
    """The false-alarm rate for each text under a threshold.

    -log(share of the runs without an alarm) / texts, of the first third and of the rest of the stream: the higher one.
    In the beginning there are fewer windows; later, with a low threshold, no run is left without an alarm.
    """
    third = len(scores) // 3
    quiet = (scores[[third - 1, -1]] <= threshold**2).sum(1)
    first = -log(max(quiet[0], 1) / scores.shape[1]) / (third * BLOCK)
    if quiet[0] < FEWEST:
        return first
    return max(first, -log(max(quiet[1], 1) / quiet[0]) / ((len(scores) - third) * BLOCK))


def best_splits(draw: Draw, runs: int, blocks: int, seed: int) -> Floats:
    """The highest score of all intervals' splits, for each run of so many blocks of texts without a shift."""
    parts = Parts.of(draw(np.random.default_rng(seed), (runs, blocks * BLOCK)))
    assert parts is not None
    best = [parts.squares(*one).max(-1) - parts.penalty(*one) for one in intervals(blocks)]
    return np.asarray(np.max(best, axis=0))


def online(runs: int, texts: int) -> None:
    """Prints the rate under each threshold for each kind of stream, and the highest as the table `ONLINE`."""
    thresholds = np.arange(0.5, 4.26, 0.25)
    print("| stream | " + " | ".join(f"{one:.2f}" for one in thresholds) + " |")
    found = []
    for name, draw in STREAMS.items():
        parts = [highest(draw, 500, texts, seed) for seed in range(runs // 500)]
        scores = np.concatenate(parts, axis=1)
        found.append([rate(scores, float(one)) for one in thresholds])
        print(f"| {name} | " + " | ".join(f"{one:.2e}" for one in found[-1]) + " |", flush=True)
    print("ONLINE = (")
    for threshold, highest_rate in zip(thresholds, np.max(found, axis=0), strict=True):
        print(f"    ({threshold:.2f}, {highest_rate:.2e}),")
    print(")")


def offline(runs: int) -> None:
    """Prints the table `OFFLINE`: the highest threshold of all kinds of streams, for each number of blocks."""
    print("OFFLINE = {")
    for blocks in (8, 16, 32, 64, 128, 256, 512, 1024, MOST_BLOCKS):
        found = []
        for draw in STREAMS.values():
            best = np.concatenate([best_splits(draw, 50, blocks, seed) for seed in range(runs // 50)])
            found.append(np.sqrt(np.maximum(np.quantile(best, [1 - one for one in OFFLINE_RATES]), 0)))
        print(f"    {blocks}: ({', '.join(f'{one:.2f}' for one in np.max(found, axis=0))}),", flush=True)
    print("}")


def main(runs: int = 6000, texts: int = 30_000) -> None:
    """Prints both tables."""
    online(runs, texts)
    offline(runs // 3)


if __name__ == "__main__":
    main()
