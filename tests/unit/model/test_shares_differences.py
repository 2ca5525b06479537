"""Comparisons, series, and the effective number of texts."""

from __future__ import annotations

import numpy as np
import pytest

from model.shares import sums
from model.shares.clusters import design_effect, design_effect_of_sample
from model.shares.corrected import shares
from model.shares.difference import compare, compare_all, difference, sidak
from model.shares.estimates import NO_LABELS, Estimate, Labelled, Method, Shares, Verdict
from model.shares.intervals import quantile, wilson
from model.shares.raw import raw
from model.shares.series import series
from tests.support.populations import population, true_shares


def labelled(texts: int, part: tuple[float, float, float], seed: int, labels: int = 150) -> Shares:
    """The corrected shares of a new segment."""
    gold, scores = population(texts, part, seed=seed)
    return shares(sums.of(scores), Labelled(gold[:labels], scores[:labels]))


def test_verdicts() -> None:
    """The one whose interval is above is ahead, seen from the other it is behind, and near ones cannot be told."""
    good, bad = labelled(1000, (0.1, 0.3, 0.6), 1), labelled(1000, (0.6, 0.3, 0.1), 2)
    again = labelled(1000, (0.1, 0.3, 0.6), 3)
    assert compare(good, bad).net.verdict is Verdict.AHEAD
    assert compare(bad, good).net.verdict is Verdict.BEHIND
    assert compare(good, again).net.verdict is Verdict.OPEN
    assert compare(good, bad).negative.verdict is Verdict.BEHIND
    assert compare(good, bad).net.estimate == pytest.approx(-compare(bad, good).net.estimate)


def test_a_comparison_is_corrected_only_if_both_are() -> None:
    """Without labels of one of the two, the comparison is by the model's labels and says so."""
    good = labelled(1000, (0.1, 0.3, 0.6), 1)
    bare = raw(sums.of(population(1000, (0.6, 0.3, 0.1))[1]))
    assert (compare(good, good).method, compare(good, good).note) == (Method.CORRECTED, "")
    assert compare(good, bare).method is Method.RAW
    assert "by the model's labels" in compare(good, bare).note
    nothing = raw(np.zeros(sums.SIZE))
    assert (compare(good, nothing).method, compare(good, nothing).net.verdict) == (Method.NONE, Verdict.OPEN)
    assert compare(good, nothing).net.low is None


def test_known_shares_have_a_known_difference() -> None:
    """Two estimates without error differ without error."""
    found = difference(Estimate(0.4, 0.4, 0.4, float("inf")), Estimate(0.3, 0.3, 0.3, float("inf")))
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert found.verdict is Verdict.AHEAD


def test_more_comparisons_have_wider_intervals() -> None:
    """Six segments make fifteen pairs: each interval has the level with which all fifteen hold at 95 %."""
    segments = [labelled(500, (0.3, 0.4, 0.3), seed) for seed in range(6)]
    pairs = compare_all(segments)
    assert len(pairs) == 15
    alone, among = compare(segments[0], segments[1]).net, pairs[0, 1].net
    assert among.low is not None
    assert alone.low is not None
    assert among.low < alone.low
    assert among.level == pytest.approx(0.95 ** (1 / 15))
    assert sidak(0.95, 1) == sidak(0.95, 0) == 0.95


def test_all_comparisons_hold_together() -> None:
    """Of five equal segments, no two are told apart in about 95 % of cases: together, not each by itself."""
    rng = np.random.default_rng(3)
    gold, scores = population(40_000, (0.3, 0.4, 0.3))
    right = 0
    for _ in range(200):
        parts = rng.permutation(40_000)[: 5 * 1000].reshape(5, 1000)
        found = [shares(sums.of(scores[part]), Labelled(gold[part[:100]], scores[part[:100]])) for part in parts]
        truth = [true_shares(gold[part])[3] for part in parts]
        pairs = compare_all(found)
        right += all(
            one.net.low is not None and one.net.high is not None and one.net.low <= truth[i] - truth[j] <= one.net.high
            for (i, j), one in pairs.items()
        )
    assert 0.92 <= right / 200 <= 0.99


def test_wilson_at_the_ends() -> None:
    """Of no labels everything is possible; of very many nothing but the share; 0 and 1 stay ends."""
    assert wilson(0.3, 0) == (0.0, 1.0)
    assert wilson(0.3, float("inf")) == (0.3, 0.3)
    assert wilson(0.0, 100)[0] == 0.0
    assert wilson(1.0, 100)[1] == 1.0
    assert quantile(0.95) == pytest.approx(1.95996, abs=1e-4)


def test_series_says_how_each_bucket_was_corrected() -> None:
    """A bucket with labels enough is corrected by its own, one with few by all, one without texts has no shares."""
    gold, scores = population(1000, (0.3, 0.4, 0.3))
    bucket = np.repeat([0, 1, 3], [500, 300, 200])
    sample = np.r_[0:120, 500:510]
    found = series(sums.by(bucket, 4, scores), Labelled(gold[sample], scores[sample]), bucket[sample])
    assert [one.method for one in found] == [Method.CORRECTED, Method.POOLED, Method.NONE, Method.POOLED]
    assert [one.labels for one in found] == [120, 130, 0, 130]
    assert found[0] == shares(sums.of(scores[:500]), Labelled(gold[:120], scores[:120]))
    assert "all 130 labels" in found[1].note
    assert all(one.net.low is not None for one in found if one.texts)


def test_a_small_bucket_has_a_wider_interval() -> None:
    """By pooled labels, a bucket of 20 texts is known less than one of 2,000 with the same scores."""
    gold, scores = population(2000, (0.3, 0.4, 0.3))
    small = np.r_[scores, scores[:20]]
    bucket = np.repeat([0, 1], [2000, 20])
    sample = np.arange(0, 2000, 20)
    found = series(sums.by(bucket, 2, small), Labelled(gold[sample], scores[sample]), bucket[sample], floor=101)
    assert [one.method for one in found] == [Method.RAW, Method.RAW]
    labelled = Labelled(np.r_[gold[sample], gold[:2]], np.r_[scores[sample], scores[:2]])
    found = series(sums.by(bucket, 2, small), labelled, np.r_[bucket[sample], 1, 1], floor=101)
    assert [one.method for one in found] == [Method.POOLED, Method.POOLED]
    assert found[1].net.size < found[0].net.size / 2


def test_series_without_labels_is_raw() -> None:
    """Without labels enough every bucket is raw, with its own effective number of texts."""
    _, scores = population(1000, (0.3, 0.4, 0.3))
    buckets = sums.by(np.arange(1000) % 2, 2, scores)
    found = series(buckets, design_effects=[1.0, 2.0])
    assert [one.method for one in found] == [Method.RAW, Method.RAW]
    assert [one.effective_texts for one in found] == [500, 250]
    with pytest.raises(ValueError):
        series(buckets, Labelled(np.array([0]), scores[:1]))
    assert series(np.empty((0, sums.SIZE)), NO_LABELS) == []


def test_order_of_labels_is_no_matter() -> None:
    """Labels come in any order: the series is the same."""
    gold, scores = population(900, (0.3, 0.4, 0.3))
    bucket = np.arange(900) // 100
    buckets = sums.by(bucket, 9, scores)
    sample = np.random.default_rng(5).permutation(900)[:150]
    shuffled, ordered = (
        series(buckets, Labelled(gold[one], scores[one]), bucket[one]) for one in (sample, np.sort(sample))
    )
    for first, second in zip(shuffled, ordered, strict=True):
        assert first.net.low == pytest.approx(second.net.low)


def test_independent_texts_have_no_design_effect() -> None:
    """With every text in a cluster of its own the effect is 1, and never less."""
    values = np.random.default_rng(1).normal(size=500)
    assert design_effect(values, np.arange(500)) == pytest.approx(1.0)
    assert design_effect(values) == design_effect_of_sample(values, 9999) == 1.0
    assert design_effect(np.zeros(0), np.zeros(0, int)) == design_effect(np.ones(9), np.zeros(9, int)) == 1.0


def test_copies_have_the_design_effect_of_their_number() -> None:
    """Each text there ten times tells as much as a tenth of the texts, also if its author wrote each copy."""
    once = np.random.default_rng(1).normal(size=400)
    values, ids = np.repeat(once, 10), np.repeat(np.arange(400), 10)
    assert design_effect(values, ids) == pytest.approx(10, rel=0.01)
    assert design_effect(values, ids, ids) == pytest.approx(10, rel=0.01)


def test_sample_tells_the_design_effect() -> None:
    """From a tenth of the texts the design effect of all is found, on average, by author and by equal words."""
    rng = np.random.default_rng(2)
    author = rng.integers(0, 1500, 6000)
    words = np.where(rng.random(6000) < 0.2, rng.integers(0, 60, 6000), np.arange(100, 6100))
    values = rng.normal(size=1500)[author] + rng.normal(size=6100)[words] + rng.normal(size=6000)
    whole = design_effect(values, author, words)
    assert whole > 3
    samples = [rng.permutation(6000)[:600] for _ in range(60)]
    found = np.mean([design_effect_of_sample(values[one], 6000, author[one], words[one]) for one in samples])
    assert found == pytest.approx(whole, rel=0.15)
