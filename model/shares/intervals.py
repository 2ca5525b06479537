"""Quantiles, and Wilson's interval at an effective number of labels."""

from __future__ import annotations

from functools import lru_cache
from math import inf, isinf, sqrt
from statistics import NormalDist

import numpy as np

from model.shares.estimates import LEVEL, Estimate
from model.shares.sums import Floats

FourEstimates = tuple[Estimate, Estimate, Estimate, Estimate]
"""NEGATIVE, NEUTRAL, POSITIVE and net."""
_NORMAL = NormalDist()


@lru_cache(4096)
def quantile(level: float, degrees: float = inf) -> float:
    """The two-sided quantile of Student's t: 1.96 for 0.95 and many degrees of freedom.

    For 5 degrees or more it is within 0.002 (Abramowitz and Stegun 1964, 26.7.5); below, with as few, it is only near.
    """
    z = _NORMAL.inv_cdf((1 + level) / 2)
    if isinf(degrees):
        return z
    nu = max(degrees, 1.0)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / nu ** (power + 1) for power, term in enumerate(terms))


def wilson(share: float, size: float, level: float = LEVEL, degrees: float = inf) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share that `size` independent labels gave.

    With z the quantile and n the size: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n). It holds its level
    for rare classes, where p -+ z sqrt(p(1-p)/n) does not (Brown, Cai and DasGupta 2001).
    """
    if isinf(size):
        return share, share
    if size <= 0:
        return 0.0, 1.0
    ratio = quantile(level, degrees) ** 2 / size
    middle = share + ratio / 2
    half = sqrt(ratio) * sqrt(max(share * (1 - share), 0.0) + ratio / 4)
    # At 0 and 1 the two parts are equal but for rounding.
    low = 0.0 if share <= 0 else max((middle - half) / (1 + ratio), 0.0)
    high = 1.0 if share >= 1 else min((middle + half) / (1 + ratio), 1.0)
    return min(low, share), max(high, share)


def limits(one: Estimate, level: float, net: bool) -> tuple[float, float]:
    """The interval of an estimate at another level. Net, from -1 to 1, is (net + 1) / 2 to Wilson."""
    if not net:
        return wilson(one.estimate, one.size, level, one.degrees)
    low, high = wilson((one.estimate + 1) / 2, one.size, level, one.degrees)
    return 2 * low - 1, 2 * high - 1


def estimates(values: Floats, sizes: Floats, degrees: float = inf, level: float = LEVEL) -> list[FourEstimates]:
    """Estimates with Wilson's intervals, as plain numbers: of each row three shares and a net.

    Args:
        values: the shares, and net from -1 to 1, shape (n, 4).
        sizes: of each, above 0 and finite, shape (n, 4).
        degrees: of freedom of all of them.
        level: of the intervals.
    """
    shares = values.copy()
    shares[:, 3] = (values[:, 3] + 1) / 2
    ratio = quantile(level, degrees) ** 2 / sizes
    middle = shares + ratio / 2
    half = np.sqrt(ratio) * np.sqrt(np.maximum(shares * (1 - shares), 0.0) + ratio / 4)
    low = np.where(shares <= 0, 0.0, np.maximum((middle - half) / (1 + ratio), 0.0))
    high = np.where(shares >= 1, 1.0, np.minimum((middle + half) / (1 + ratio), 1.0))
    low, high = np.minimum(low, shares), np.maximum(high, shares)
    low[:, 3], high[:, 3] = 2 * low[:, 3] - 1, 2 * high[:, 3] - 1
    columns = zip(values.tolist(), low.tolist(), high.tolist(), sizes.tolist(), strict=True)
    rows = (tuple(Estimate(*one, degrees) for one in zip(*row, strict=True)) for row in columns)
    return [(negative, neutral, positive, net) for negative, neutral, positive, net in rows]
