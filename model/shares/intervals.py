"""Quantiles, and Wilson's interval at an effective number of labels."""

from __future__ import annotations

from functools import lru_cache
from math import inf, isinf, sqrt
from statistics import NormalDist

from model.shares.estimates import LEVEL, Estimate

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


def estimate(value: float, size: float, degrees: float = inf, *, net: bool = False, level: float = LEVEL) -> Estimate:
    """An estimate with Wilson's interval; with no interval where `size` is 0."""
    bare = Estimate(value, None, None, size, degrees)
    if size <= 0:
        return bare
    low, high = limits(bare, level, net)
    return Estimate(value, low, high, size, degrees)
