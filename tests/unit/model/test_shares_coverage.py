"""The intervals hold what they promise, by simulation; `python -m benchmarks.shares` has it on real texts."""

from __future__ import annotations

import numpy as np
import pytest

from model.shares import sums
from model.shares.corrected import corrected, stratified
from model.shares.difference import compare
from model.shares.estimates import Labelled, Shares
from model.shares.series import series
from model.shares.sums import Floats, Integers
from tests.support.populations import population, true_shares

KINDS = ("negative", "neutral", "positive", "net")
SEGMENTS = [
    (150, (0.3, 0.4, 0.3)),
    (250, (0.05, 0.35, 0.6)),
    (400, (0.6, 0.3, 0.1)),
    (2000, (0.2, 0.7, 0.1)),
]
RUNS = 400


def drawn(gold: Integers, scores: Floats, total: Floats, rng: np.random.Generator) -> Shares:
    """The shares corrected by 100 random labels."""
    chosen = rng.permutation(len(gold))[:100]
    return corrected(total, Labelled(gold[chosen], scores[chosen]))


def covered(found: Shares, truth: tuple[float, ...]) -> list[bool]:
    """Whether each of the four intervals holds the truth."""
    each = [getattr(found, kind) for kind in KINDS]
    return [one.low - 1e-12 <= value <= one.high + 1e-12 for one, value in zip(each, truth, strict=True)]


def test_coverage_of_shares_and_differences() -> None:
    """Over segments of 150 to 2,000 texts, with a class of 5 %, 95 % intervals hold the truth in 93 to 97 %."""
    rng = np.random.default_rng(7)
    segments = [population(texts, part, seed=seed) for seed, (texts, part) in enumerate(SEGMENTS)]
    totals = [sums.of(scores) for _, scores in segments]
    truths = [true_shares(gold) for gold, _ in segments]
    held, apart = [], []
    for _ in range(RUNS):
        found = [drawn(*segment, total, rng) for segment, total in zip(segments, totals, strict=True)]
        held.append([covered(one, truth) for one, truth in zip(found, truths, strict=True)])
        for first in range(len(found) - 1):
            pair = compare(found[first], found[first + 1])
            gaps = np.subtract(truths[first], truths[first + 1])
            apart.append(
                [getattr(pair, k).low <= gap <= getattr(pair, k).high for k, gap in zip(KINDS, gaps, strict=True)]
            )
    for kind, share, difference in zip(KINDS, np.mean(held, axis=(0, 1)), np.mean(apart, axis=0), strict=True):
        assert 0.93 <= share <= 0.97, kind
        assert 0.93 <= difference <= 0.97, kind


def test_coverage_of_a_whole_stream() -> None:
    """So do the intervals of a stream of these segments, each labelled in proportion to its texts."""
    rng = np.random.default_rng(8)
    segments = [population(texts, part, seed=seed) for seed, (texts, part) in enumerate(SEGMENTS)]
    truth = true_shares(np.concatenate([gold for gold, _ in segments]))
    held = []
    for _ in range(RUNS):
        strata = []
        for gold, scores in segments:
            chosen = rng.permutation(len(gold))[: len(gold) // 14]
            strata.append((sums.of(scores), Labelled(gold[chosen], scores[chosen])))
        held.append(covered(stratified(strata), truth))
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)


def test_coverage_of_buckets_while_the_model_errs_more_and_more() -> None:
    """Buckets by pooled labels hold the truth in 92 % or more although the model's error is another each day."""
    rng = np.random.default_rng(9)
    days = [population(300, (0.3, 0.4, 0.3), seed=day, skill=skill) for day, skill in enumerate((0.5, 1, 1.5, 2, 2.5))]
    gold, scores = (np.concatenate(part) for part in zip(*days, strict=True))
    day = np.repeat(np.arange(5), 300)
    buckets, truths = sums.by(day, 5, scores), [true_shares(one) for one, _ in days]
    held = []
    for _ in range(60):
        chosen = rng.permutation(len(gold))[:150]
        found = series(buckets, Labelled(gold[chosen], scores[chosen]), day[chosen])
        held.append([covered(one, truth) for one, truth in zip(found, truths, strict=True)])
    assert 0.92 <= np.mean(held) <= 0.99
