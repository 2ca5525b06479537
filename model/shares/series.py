"""Shares by buckets of time."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from model.shares import sums
from model.shares.corrected import Moments, corrected, sizes_of, tuned, with_net
from model.shares.estimates import FLOOR, LEVEL, NO_LABELS, Labelled, Method, Shares
from model.shares.intervals import estimates
from model.shares.raw import NO_TEXTS, raws
from model.shares.sums import Floats, Integers

GROUP = 10
"""Labels in each of the groups, in the order of time, by which it is told whether the model's error moves."""
GROUPS = 40
"""The most groups."""
_QUARTILE = -0.6745


def series(
    buckets: Floats,
    labelled: Labelled = NO_LABELS,
    label_buckets: NDArray[np.integer] | None = None,
    design_effects: Sequence[float] | Floats | None = None,
    floor: int = FLOOR,
    level: float = LEVEL,
) -> list[Shares]:
    """The shares of each bucket, in the order of time.

    Args:
        buckets: each bucket's sums, shape (buckets, 8).
        labelled: the labels of all these buckets' texts.
        label_buckets: the bucket of each label, shape (n,).
        design_effects: each bucket's design effect; None: 1.
        floor: the labels that a bucket needs to be corrected by its own; otherwise it is by all of them, if those
            are enough, and its note says so; otherwise it is raw.
        level: of each interval.
    """
    places = np.zeros(0, np.int64) if label_buckets is None else np.asarray(label_buckets, np.int64)
    if len(places) != len(labelled):
        raise ValueError("each label needs its bucket")
    order = np.argsort(places, kind="stable")
    places, labelled = places[order], _part(labelled, order)
    numbers = sums.texts(buckets)
    effects = np.ones(len(buckets)) if design_effects is None else np.asarray(design_effects, np.float64)
    starts, ends = (np.searchsorted(places, np.arange(len(buckets)), side=side) for side in ("left", "right"))
    enough = max(floor, 2) <= len(labelled)
    pooled = _Pooled(buckets.sum(0), labelled, (starts + ends)[places] / 2) if enough else None
    effective, counts = numbers / np.maximum(effects, 1.0), ends - starts
    by_all = np.full(len(buckets), pooled is not None) & (counts < np.minimum(floor, numbers))
    by_own = ~by_all & (numbers > 0) & (counts >= np.minimum(max(floor, 2), numbers))
    by_none = ~by_all & ~by_own & (numbers > 0)
    found: list[Shares] = [NO_TEXTS] * len(buckets)
    if pooled is not None:
        of_all = pooled.buckets(buckets[by_all], (starts + ends)[by_all] / 2, effective[by_all], level)
        _put(found, by_all, of_all)
    own = [
        corrected(buckets[place], _part(labelled, slice(starts[place], ends[place])), float(effective[place]), level)
        for place in np.flatnonzero(by_own)
    ]
    _put(found, by_own, own)
    _put(found, by_none, raws(buckets[by_none], effective[by_none], level, counts[by_none].tolist(), floor))
    return found


def _put(found: list[Shares], where: NDArray[np.bool_], some: Sequence[Shares]) -> None:
    for place, one in zip(np.flatnonzero(where).tolist(), some, strict=True):
        found[place] = one


def _part(labelled: Labelled, which: slice | Integers) -> Labelled:
    return Labelled(labelled.gold[which], labelled.scores[which])


class _Pooled:
    """The correction of a bucket by the labels of all buckets.

    The bucket's share is mean_bucket(lambda f) + r, with r the model's error there. r is as a rule not the same at all
    times, so the labels are cut in the order of time into groups, whose mean errors r_g, each with variance s^2/n_g,
    vary by tau^2 about their mean r. The bucket's error is estimated by (1 - g) r + g r_g with g = tau^2 / (tau^2 +
    s^2/n_g), its mean squared error by g s^2/n_g + (1 - g)^2 (s^2/n + tau^2/groups) (Fay and Herriot 1979).

    tau^2 is such that sum (r_g - r)^2 / (tau^2 + s^2/n_g) is at the lower quartile of chi^2 (Paule and Mandel 1982 have
    the mean there): where few labels leave tau^2 open, it is rather taken too large than too small.
    """

    def __init__(self, total: Floats, labelled: Labelled, places: Floats) -> None:
        """Estimates from the sums of all buckets and their labels.

        Args:
            total: the sums of all buckets.
            labelled: the labels, in the order of time.
            places: for each label the place, among the labels, of the middle one of its bucket.
        """
        moments = Moments.of(total, labelled)
        self._labels = len(labelled)
        self._texts = moments.texts
        self._gold = moments.gold
        self._weight = tuned([moments], [1.0])
        error = with_net(np.eye(3)[labelled.gold]) - self._weight * with_net(np.asarray(labelled.scores, np.float64))
        self._cuts = max(min(GROUPS, len(error) // GROUP), 1)
        self._cut, group = np.unique(self._cut_of(places), return_inverse=True)
        number = np.bincount(group).astype(np.float64)
        means = np.stack([np.bincount(group, column) for column in error.T], axis=1) / number[:, None]
        self._variance = ((error - means[group]) ** 2).sum(0) / max(len(error) - len(number) - 1, 1)
        own = self._variance / number[:, None]
        between = np.array([_between(means[:, k], own[:, k]) for k in range(4)])
        gain = np.divide(between, between + own, out=np.zeros_like(own), where=between + own > 0)
        # In each group, the model's error and the variance of this estimate.
        self._error = (1 - gain) * error.mean(0) + gain * means
        self._doubt = gain * own + (1 - gain) ** 2 * (self._variance / len(error) + between / len(number))
        drift = 100 * sqrt(between.max())
        moves = f" The model's error moves by about {drift:.0f} points over time." if drift >= 0.5 else ""
        self._note = f"Too few labels here: corrected by all {self._labels} labels of the whole time.{moves}"

    def _cut_of(self, places: Floats) -> Integers:
        """The number of the group at each place among the labels; a bucket's labels are all in one group."""
        return np.minimum((places * self._cuts / self._labels).astype(np.int64), self._cuts - 1)

    def buckets(self, buckets: Floats, places: Floats, effective_texts: Floats, level: float) -> list[Shares]:
        """The shares of buckets with texts; before each of them, so many (`places`) of the labels were written."""
        texts = sums.texts(buckets)
        group = np.abs(self._cut - self._cut_of(places)[:, None]).argmin(1)
        values = np.clip(self._weight * with_net(sums.mean(buckets)) + self._error[group], 0.0, 1.0)
        values[:, 3] = 2 * values[:, 3] - 1
        inside = np.maximum(1 / texts - 1 / self._texts, 0.0)[:, None]
        variances = self._variance * inside + self._doubt[group]
        sizes = sizes_of(self._gold, variances, 1 / self._labels + inside, self._labels)
        found = estimates(values, sizes, max(self._labels - 2.0, 1.0), level)
        return [
            Shares(*one, round(number), effective, self._labels, Method.POOLED, self._note)
            for one, number, effective in zip(found, texts.tolist(), effective_texts.tolist(), strict=True)
        ]


def _between(means: Floats, variances: Floats) -> float:
    """tau^2 of `_Pooled`: the variance between groups with these means, whose own variances are known."""
    degrees = len(means) - 1
    if degrees < 1:
        return 0.0
    # Wilson and Hilferty's (1931) quantile of chi^2.
    target = degrees * (1 - 2 / (9 * degrees) + _QUARTILE * sqrt(2 / (9 * degrees))) ** 3
    variances = np.maximum(variances, 1e-9)

    def spread(between: float) -> float:
        weights = 1 / (between + variances)
        middle = float((weights * means).sum() / weights.sum())
        return float((weights * (means - middle) ** 2).sum())

    low, high = 0.0, 1.0
    if spread(low) <= target:
        return 0.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if spread(middle) > target else (low, middle)
    return high
