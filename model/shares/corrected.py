"""Shares by a person's labels of a random sample, with the scores of all texts to make the labels go further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb, inf

import numpy as np

from model.shares import sums
from model.shares.estimates import FLOOR, LEVEL, NO_LABELS, Estimate, Labelled, Method, Shares, joined
from model.shares.intervals import limits
from model.shares.raw import NOTE, raw
from model.shares.sums import Floats

FEW = 10
"""Labels below which a segment's variance is not estimated by itself in the shares of a whole stream."""
Stratum = tuple[Floats, Labelled]
"""A segment's sums, shape (8,), and its labels."""
_SELDOM = 0.001
_LEFT_OUT = (
    f"{NOTE} There are labels, but hardly any of some segments that have many of the texts: label texts of all segments"
    f" in proportion, or {FEW} of each."
)
TRUST = 5
"""So many labels of the rarer side let the scores count for as much as the labels once more, see `_size`."""


@dataclass(frozen=True, slots=True)
class Moments:
    """What the estimator needs of one stratum; arrays of 4: the three shares, and net scaled to (net + 1) / 2."""

    texts: float
    labels: int
    guessed: Floats
    """The mean of the scores over all texts."""
    gold: Floats
    """The mean of the labels."""
    scored: Floats
    """The mean of the scores over the labelled texts."""
    gold_gold: Floats
    gold_score: Floats
    score_score: Floats
    """Variances and covariance over the labelled texts, divided by labels - 1."""

    @classmethod
    def of(cls, total: Floats, labelled: Labelled) -> Moments:
        """The moments of a stratum's sums and labels. Raises ValueError for more labels than texts."""
        texts, labels = float(sums.texts(total)), len(labelled)
        if labels > texts:
            raise ValueError(f"{labels} labels of {texts:.0f} texts")
        gold, scores = with_net(np.eye(3)[labelled.gold]), with_net(np.asarray(labelled.scores, np.float64))
        mean_gold, mean_score = (a.mean(0) if labels else np.zeros(4) for a in (gold, scores))
        off_gold, off_score = gold - mean_gold, scores - mean_score
        divisor = max(labels - 1, 1)
        return cls(
            texts,
            labels,
            with_net(sums.mean(total)[None])[0],
            mean_gold,
            mean_score,
            (off_gold**2).sum(0) / divisor,
            (off_gold * off_score).sum(0) / divisor,
            (off_score**2).sum(0) / divisor,
        )

    def residual(self, weight: Floats) -> Floats:
        """The variance of label - weight * score."""
        return np.maximum(self.gold_gold - 2 * weight * self.gold_score + weight**2 * self.score_score, 0.0)


def with_net(shares: Floats) -> Floats:
    """The three columns and net, scaled to 0..1."""
    return np.concatenate([shares, (shares[:, 2:] - shares[:, :1] + 1) / 2], axis=1)


def tuned(moments: Sequence[Moments], importance: Sequence[float]) -> Floats:
    """How much the scores count, 0 to 1: the weight with the least variance (power tuning), one for all strata.

    lambda = sum a cov(y, f) / sum a var(f): the combined regression estimator's slope (Cochran 1977, 7.52). For one
    stratum and few labels among many texts it is the lambda of PPI++ (Angelopoulos, Duchi and Zrnic 2023, example 6.1).
    """
    covariance = sum((a * one.gold_score for a, one in zip(importance, moments, strict=True)), np.zeros(4))
    variance = sum((a * one.score_score for a, one in zip(importance, moments, strict=True)), np.zeros(4))
    return np.clip(np.divide(covariance, variance, out=np.zeros(4), where=variance > 1e-12), 0.0, 1.0)


def corrected(total: Floats, labelled: Labelled, effective_texts: float | None = None, level: float = LEVEL) -> Shares:
    """The shares of one segment's texts, of which at least 2, drawn at random, are labelled.

    Prediction-powered inference for a finite population: with f the scores, y the labels, N texts and n labels,

        theta = mean_N(lambda f) + mean_n(y - lambda f),  variance (1 - n/N) var_n(y - lambda f) / n,

    which is the regression estimator of Cochran (1977, 7.2). Labels drawn by text are a random sample also where texts
    are equal or of one author, so the interval needs no design effect. The interval is Wilson's at the number of labels
    that would by themselves have this variance, with Student's t, within what the labels seen leave possible.
    """
    return _estimated([Moments.of(total, labelled)], effective_texts, level)


def shares(
    total: Floats,
    labelled: Labelled,
    effective_texts: float | None = None,
    floor: int = FLOOR,
    level: float = LEVEL,
) -> Shares:
    """Corrected where there are enough labels or all texts are labelled; raw otherwise, and then the note says so."""
    texts = float(sums.texts(total))
    if texts > 0 and len(labelled) >= min(max(floor, 2), texts):
        return corrected(total, labelled, effective_texts, level)
    return raw(total, effective_texts, level, len(labelled), floor)


def stratified(
    strata: Sequence[Stratum],
    effective_texts: float | None = None,
    floor: int = FLOOR,
    level: float = LEVEL,
) -> Shares:
    """The shares of a whole stream: each of its segments' sums and labels, drawn at random within the segment.

    theta = sum W theta_h, variance sum W^2 (1 - n/N) var(y - lambda f) / n, with W the segment's share of the texts
    (Cochran 1977, 5.2 and 7.10). Segments with fewer than 10 labels are taken together as one, which supposes that they
    are labelled in proportion to their texts. If they surely are not, as where people have labelled one segment alone,
    the shares are raw.
    """
    strata = [one for one in strata if sums.texts(one[0]) > 0]
    total, labelled = _together(strata)
    if not strata or len(labelled) < min(max(floor, 2), float(sums.texts(total))):
        return raw(total, effective_texts, level, len(labelled), floor)
    enough, rest, note = _collapsed(strata)
    if _left_out(strata, rest):
        return replace(raw(total, effective_texts, level), note=_LEFT_OUT)
    kept = [*enough, rest] if len(rest[1]) else enough
    return _estimated([Moments.of(*one) for one in kept], effective_texts, level, note)


def _collapsed(strata: Sequence[Stratum]) -> tuple[list[Stratum], Stratum, str]:
    """The strata with labels enough, the largest first; the others as one, with more if need be; and what was done."""
    few = [one for one in strata if len(one[1]) < min(FEW, float(sums.texts(one[0])))]
    enough = [one for one in strata if len(one[1]) >= min(FEW, float(sums.texts(one[0])))]
    enough.sort(key=lambda one: -float(sums.texts(one[0])))
    rest = few
    while few and enough and sum(len(one[1]) for one in rest) < FEW:
        rest = [*rest, enough.pop()]
    note = f"{len(rest)} segments are taken together: fewer than {FEW} labels are there of {len(few)} of them."
    return enough, _together(rest), note if few else ""


def _left_out(strata: Sequence[Stratum], rest: Stratum) -> bool:
    """Whether a stratum of those that are taken together has so few labels as chance gives it in one of 1,000 cases."""
    whole, labels = float(sums.texts(rest[0])), len(rest[1])
    for total, labelled in strata:
        share, count = float(sums.texts(total)) / max(whole, 1.0), len(labelled)
        if count >= min(FEW, float(sums.texts(total))):
            continue
        if (1 - share) ** labels >= _SELDOM:
            continue
        if (
            sum(comb(labels, some) * share**some * (1 - share) ** (labels - some) for some in range(count + 1))
            < _SELDOM
        ):
            return True
    return False


def _together(strata: Sequence[Stratum]) -> Stratum:
    """Several strata as one."""
    if not strata:
        return np.zeros(sums.SIZE), NO_LABELS
    gold = np.concatenate([one[1].gold for one in strata])
    scores = np.concatenate([one[1].scores for one in strata])
    return np.sum([one[0] for one in strata], axis=0), Labelled(gold, scores)


def _estimated(strata: Sequence[Moments], effective_texts: float | None, level: float, note: str = "") -> Shares:
    """The stratified estimate with power tuning."""
    texts, labels = sum(one.texts for one in strata), sum(one.labels for one in strata)
    weights = [one.texts / texts for one in strata]
    # What one unit of variance in the stratum does to the variance of the whole.
    parts = [w**2 * (1 - s.labels / s.texts) / s.labels for w, s in zip(weights, strata, strict=True)]
    weight = tuned(strata, parts)
    value, gold = np.zeros(4), np.zeros(4)
    for share, one in zip(weights, strata, strict=True):
        value = value + share * (one.gold + weight * (one.guessed - one.scored))
        gold = gold + share * one.gold
    each = [part * one.residual(weight) for part, one in zip(parts, strata, strict=True)]
    inside = sum(one.labels - 1 for one in strata)
    variance = np.sum(each, axis=0) * inside / max(inside - 1, 1)
    squares = sum((v**2 / max(one.labels - 1, 1) for v, one in zip(each, strata, strict=True)), np.zeros(4))
    degrees = np.divide(np.sum(each, axis=0) ** 2, squares, out=np.full(4, float(inside)), where=squares > 0) - 1
    seen: Floats = sum((one.labels * one.gold for one in strata), np.zeros(4)) / texts
    left = 1 - labels / texts
    negative, neutral, positive, net = (
        interval(
            float(value[k]),
            size_of(float(gold[k]), float(variance[k]), sum(parts), labels),
            float(degrees[k]),
            # Each text without a label may be in the class or not.
            (float(seen[k]), float(seen[k]) + left),
            level,
            net=k == 3,
        )
        for k in range(4)
    )
    method = Method.EXACT if labels >= texts else Method.CORRECTED
    effective = texts if effective_texts is None else effective_texts
    notes = joined([_note(method, labels), note])
    return Shares(negative, neutral, positive, net, round(texts), effective, labels, method, notes)


def _note(method: Method, labels: int) -> str:
    if method is Method.EXACT:
        return "Every text is labelled: the shares of these texts are known."
    return f"Corrected by {labels} labels: of these texts' shares as people label them, which the model's need not be."


def interval(
    value: float, size: float, degrees: float, possible: tuple[float, float], level: float, *, net: bool
) -> Estimate:
    """One share, or net scaled to 0..1, with its interval.

    Args:
        value: the estimate, on the scale from 0 to 1.
        size: the number of independent labels that would have its variance.
        degrees: of freedom of that variance.
        possible: the least and the most that it can be, given the labels seen, on the same scale.
        level: of the interval.
        net: whether this is net.
    """
    least, most = (2 * end - 1 if net else end for end in possible)
    value = min(max(value, possible[0], 0.0), possible[1], 1.0)
    bare = Estimate(2 * value - 1 if net else value, None, None, size, max(degrees, 1.0))
    low, high = limits(bare, level, net)
    return Estimate(bare.estimate, max(low, least), min(high, most), bare.size, bare.degrees)


def size_of(gold: float, variance: float, part: float, labels: int) -> float:
    """The number of independent labels that would by themselves have this variance: see `sizes_of`."""
    return float(sizes_of(np.array(gold), np.array(variance), np.array(part), labels))


def sizes_of(gold: Floats, variance: Floats, part: Floats, labels: int) -> Floats:
    """The numbers of independent labels that would by themselves have these variances: y (1 - y) / variance.

    Args:
        gold: the mean of the labels, y.
        variance: of the estimate.
        part: the variance that the estimate would have by the labels alone, for labels of variance 1.
        labels: how many there are.

    If only a few labels are of the rarer side, a small variance may be luck. So with r labels of the rarer side the
    scores make the labels count for at most 1 + r/5 times as much: without, intervals of rare classes miss more often.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        varies = gold * (1 - gold)
        most = (1 + labels * np.minimum(gold, 1 - gold) / TRUST) / part
        some = np.maximum(np.minimum(varies / np.maximum(variance, 1e-300), most), 1.0)
        return np.where(part <= 0, inf, np.where(varies > 1e-12, some, 1 / part))
