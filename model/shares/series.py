"""Shares by buckets of time."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from model.shares import sums
from model.shares.corrected import Moments, interval, shares, size_of, tuned, with_net
from model.shares.estimates import FLOOR, LEVEL, NO_LABELS, Labelled, Method, Shares
from model.shares.raw import raw
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
    design_effects: Sequence[float] | None = None,
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
    found = []
    for bucket, number, effect, start, end in zip(buckets, numbers, effects, starts, ends, strict=True):
        effective = float(number / max(effect, 1.0))
        if pooled is None or end - start >= min(floor, number):
            own = _part(labelled, slice(start, end))
            found.append(shares(bucket, own, effective, floor, level) if number else raw(bucket))
        else:
            found.append(pooled.bucket(bucket, (start + end) / 2, effective, level))
    return found


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
        self._gold: list[float] = moments.gold.tolist()
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

    def bucket(self, bucket: Floats, place: float, effective_texts: float, level: float) -> Shares:
        """The shares of one bucket, before which `place` of the labels were written."""
        texts = float(sums.texts(bucket))
        if not texts:
            return raw(bucket)
        group = int(np.abs(self._cut - self._cut_of(np.array(place))).argmin())
        values = (self._weight * with_net(sums.mean(bucket)[None])[0] + self._error[group]).tolist()
        inside = max(1 / texts - 1 / self._texts, 0.0)
        variances = (self._variance * inside + self._doubt[group]).tolist()
        negative, neutral, positive, net = (
            interval(
                values[k],
                size_of(self._gold[k], variances[k], 1 / self._labels + inside, self._labels),
                self._labels - 2.0,
                (0.0, 1.0),
                level,
                net=k == 3,
            )
            for k in range(4)
        )
        return Shares(
            negative, neutral, positive, net, round(texts), effective_texts, self._labels, Method.POOLED, self._note
        )


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
