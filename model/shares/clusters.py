"""Equal texts and one author's posts are not independent: the design effect, and the effective number of texts."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from model.shares.sums import Floats

Ids = NDArray[np.integer]
"""For each text, a number that is the same for texts of one cluster: of one author, or with equal words."""


def design_effect(values: NDArray[np.floating], *clusterings: Ids) -> float:
    """By how much the variance of the mean is above that of independent texts; 1 or more.

    Args:
        values: one number for each text, such as its net label, shape (n,).
        clusterings: each text's cluster, shape (n,): by author, by equal words, or both. Texts are taken to depend on
            each other if they share any of them.

    Liang and Zeger's (1986) robust variance, for several clusterings by inclusion and exclusion (Cameron, Gelbach and
    Miller 2011): sum over the pairs of texts that share a cluster of e_i e_j, divided by the sum of e_i^2, with e the
    distance from the mean and Bessel's correction by the number of clusters.
    """
    off = np.asarray(values, np.float64) - np.mean(values) if len(values) else np.empty(0)
    squares = float(off @ off)
    if len(off) < 2 or squares <= 0 or not clusterings:
        return 1.0
    total = 0.0
    for size in range(1, len(clusterings) + 1):
        for chosen in combinations(clusterings, size):
            sums = _cluster_sums(off, *chosen)
            bessel = len(sums) / (len(sums) - 1) if len(sums) > 1 else 1.0
            total += (-1) ** (size + 1) * bessel * float(sums @ sums)
    return max(total / (squares * len(off) / (len(off) - 1)), 1.0)


def design_effect_of_sample(values: NDArray[np.floating], texts: int, *clusterings: Ids) -> float:
    """The same of `texts` texts, from a random sample of them: by the pairs in the sample that share a cluster.

    With m texts in the sample and A the sum of e_i e_j over its ordered pairs in a cluster, the N texts' variance is
    estimated by 1 + (N - 1) A / (m (m - 1) s^2): each of the N (N - 1) pairs is as likely as another to be seen
    (Horvitz and Thompson 1952). Rough with few such pairs in the sample.
    """
    off = np.asarray(values, np.float64) - np.mean(values) if len(values) else np.empty(0)
    number = len(off)
    squares = float(off @ off)
    if number < 2 or squares <= 0 or not clusterings:
        return 1.0
    together = 0.0
    for size in range(1, len(clusterings) + 1):
        for chosen in combinations(clusterings, size):
            sums = _cluster_sums(off, *chosen)
            together += (-1) ** (size + 1) * (float(sums @ sums) - squares)
    return max(1 + (texts - 1) * together / (number * squares), 1.0)


def _cluster_sums(off: Floats, *clusterings: Ids) -> Floats:
    """The sum of each cluster, of the texts that share all the clusterings given."""
    ids = np.unique(clusterings[0], return_inverse=True)[1]
    for more in clusterings[1:]:
        other = np.unique(more, return_inverse=True)[1]
        ids = np.unique(ids * (int(other.max()) + 1) + other, return_inverse=True)[1]
    return np.asarray(np.bincount(ids, off), np.float64)
