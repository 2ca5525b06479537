"""Sums, raw shares and shares corrected by labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.shares import sums
from model.shares.corrected import corrected, shares, size_of, stratified
from model.shares.estimates import NO_LABELS, Labelled, Method, Shares
from model.shares.raw import raw, spread
from model.shares.sums import Floats, Integers
from tests.support.populations import population, true_shares


def labels(gold: Integers, scores: Floats, number: int, seed: int = 1) -> Labelled:
    """A random sample of labels."""
    chosen = np.random.default_rng(seed).permutation(len(gold))[:number]
    return Labelled(gold[chosen], scores[chosen])


def points(found: Shares) -> tuple[float, float, float, float]:
    """The four estimates."""
    return found.negative.estimate, found.neutral.estimate, found.positive.estimate, found.net.estimate


def test_sums_add_up() -> None:
    """The sums of two lots of texts are together the sums of all, by groups and in bytes alike."""
    _, scores = population(500, (0.3, 0.4, 0.3))
    groups = np.arange(500) % 7
    each = sums.by(groups, 7, scores)
    assert each.shape == (7, sums.SIZE)
    np.testing.assert_allclose(each.sum(0), sums.of(scores))
    np.testing.assert_allclose(each[3], sums.of(scores[groups == 3]))
    packed = sums.pack(each)
    assert len(packed) == 7 * sums.BYTES
    np.testing.assert_array_equal(sums.unpack(packed), each)


def test_sums_hold_means_and_variances() -> None:
    """The mean scores, the number of labels and the net's variance can be read from the sums."""
    _, scores = population(400, (0.2, 0.5, 0.3))
    total = sums.of(scores)
    net = scores[:, 2] - scores[:, 0]
    assert sums.texts(total) == 400
    np.testing.assert_allclose(sums.mean(total), scores.mean(0))
    np.testing.assert_array_equal(sums.counts(total), np.bincount(scores.argmax(1), minlength=3))
    np.testing.assert_allclose(sums.net(total), (net.mean(), net.var()))
    assert not sums.mean(np.zeros(sums.SIZE)).any()


@pytest.mark.parametrize("scores", [np.array([[0.2, np.nan, 0.8]]), np.zeros((4, 2)), np.zeros(3)])
def test_sums_of_what_is_no_score_are_refused(scores: Floats) -> None:
    """Scores that are not finite, or not three a text, raise instead of spoiling the sums."""
    with pytest.raises(ValueError):
        sums.of(scores)


def test_labels_must_be_labels() -> None:
    """A label that is no class, a score that is no number and a number of scores that is another one are refused."""
    good = np.full((2, 3), 1 / 3)
    for gold, scores in (([0, 3], good), ([0, -1], good), ([0], good), ([0, 1], good * np.nan)):
        with pytest.raises(ValueError):
            Labelled(np.array(gold), scores)


def test_raw_shares_are_the_models_counts() -> None:
    """Raw shares count the model's labels, say so, and have a narrower interval the more texts there are."""
    _, scores = population(1000, (0.3, 0.4, 0.3))
    found = raw(sums.of(scores))
    assert points(found) == pytest.approx(true_shares(scores.argmax(1)))
    assert (found.method, found.texts, found.labels) == (Method.RAW, 1000, 0)
    assert "model's labels alone" in found.note
    fewer = raw(sums.of(scores), effective_texts=100)
    assert fewer.effective_texts == 100
    for wide, narrow in ((fewer.negative, found.negative), (fewer.net, found.net)):
        assert wide.low is not None
        assert wide.high is not None
        assert narrow.low is not None
        assert wide.low < narrow.low < wide.estimate == narrow.estimate < wide.high


def test_interval_of_raw_net_has_the_variance_of_net() -> None:
    """Net's interval is about 1.96 standard errors of its mean on each side: neutral texts make it narrower."""
    _, scores = population(20_000, (0.1, 0.8, 0.1))
    said = scores.argmax(1) - 1
    found = raw(sums.of(scores)).net
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * said.std() / np.sqrt(20_000), rel=0.01)
    assert spread(np.array([1.0, 0.0]), np.array([1.0, 0.5])).tolist() == [1.0, 2.0]


def test_all_neutral_texts_have_a_net_near_nothing() -> None:
    """Of 100 texts that are all neutral, net may still be some points off; of 10,000 hardly."""
    for number, most in ((100, 0.05), (10_000, 0.0005)):
        net = raw(sums.of(np.tile([0.1, 0.8, 0.1], (number, 1)))).net
        assert net.high is not None
        assert 0 < net.high < most
        assert net.low == pytest.approx(-net.high)


def test_no_texts_have_no_shares() -> None:
    """Of no texts there is no interval, whatever labels or strata are asked for."""
    nothing = np.zeros(sums.SIZE)
    for found in (raw(nothing), shares(nothing, NO_LABELS), stratified([]), stratified([(nothing, NO_LABELS)])):
        assert found.method is Method.NONE
        assert (found.texts, found.net.low, found.net.high) == (0, None, None)


def test_too_few_labels_are_told_and_not_used() -> None:
    """Below the floor the shares are raw, and the note counts the labels that are there."""
    gold, scores = population(500, (0.3, 0.4, 0.3))
    total = sums.of(scores)
    found = shares(total, labels(gold, scores, 99))
    assert (found.method, points(found)) == (Method.RAW, points(raw(total)))
    assert "99 of the 100 labels" in found.note
    assert shares(total, labels(gold, scores, 100)).method is Method.CORRECTED


@pytest.mark.parametrize("number", [1, 2, 60, 300])
def test_all_labels_are_exact(number: int) -> None:
    """Where every text is labelled the shares are known: the counts of the labels, with no width."""
    gold, scores = population(number, (0.3, 0.4, 0.3))
    found = shares(sums.of(scores), Labelled(gold, scores))
    assert (found.method, found.labels) == (Method.EXACT, number)
    assert points(found) == pytest.approx(true_shares(gold))
    for one in (found.negative, found.neutral, found.positive, found.net):
        assert one.low == pytest.approx(one.estimate)
        assert one.high == pytest.approx(one.estimate)


def test_more_labels_than_texts_are_refused() -> None:
    """Labels of texts that are not counted cannot be a sample of them."""
    gold, scores = population(300, (0.3, 0.4, 0.3))
    with pytest.raises(ValueError, match="300 labels of 200 texts"):
        shares(sums.of(scores[:200]), Labelled(gold, scores))


def test_labels_correct_a_biased_model() -> None:
    """The model says NEGATIVE far too often; the corrected share is near the people's, and its interval has it."""
    gold, scores = population(5000, (0.2, 0.4, 0.4))
    total = sums.of(scores)
    found = corrected(total, labels(gold, scores, 400))
    truth = true_shares(gold)
    assert raw(total).negative.estimate > truth[0] + 0.05
    assert found.negative.estimate == pytest.approx(truth[0], abs=0.04)
    assert found.negative.low is not None
    assert found.negative.high is not None
    assert found.negative.low < truth[0] < found.negative.high


def test_scores_make_labels_go_further() -> None:
    """With a good model the interval is narrower than the labels' own; with one that guesses, no wider than it."""
    for skill, most in ((3.0, 0.75), (0.0, 1.02)):
        gold, scores = population(5000, (0.3, 0.4, 0.3), skill=skill)
        found = corrected(sums.of(scores), labels(gold, scores, 200)).negative
        assert 200 / (found.size * (1 - 200 / 5000)) < most


def test_luck_with_few_labels_of_a_class_is_not_trusted() -> None:
    """If scores seem to explain all, 5 labels of the rarer side count at most twice, 50 at most eleven times."""
    assert size_of(0.05, 0.0, 1 / 100, 100) == pytest.approx(200)
    assert size_of(0.5, 0.0, 1 / 100, 100) == pytest.approx(1100)
    assert size_of(0.5, 0.25 / 150, 1 / 100, 100) == pytest.approx(150)


def test_one_class_alone_keeps_an_honest_interval() -> None:
    """If all labels are of one class, the others' shares are 0 with an upper end, as by Wilson without a model."""
    gold, scores = population(1000, (0.0, 1.0, 0.0))
    found = corrected(sums.of(scores), labels(gold, scores, 100))
    assert (found.neutral.estimate, found.negative.estimate, found.net.estimate) == (1.0, 0.0, 0.0)
    assert found.negative.low == 0.0
    assert found.negative.high == pytest.approx(0.034, abs=0.003)
    assert found.net.low is not None
    assert found.net.low < 0


def test_interval_stays_within_what_the_labels_leave_possible() -> None:
    """With 290 of 300 texts labelled, the share cannot be below the labelled ones nor above them and 10 more."""
    gold, scores = population(300, (0.3, 0.4, 0.3))
    sample = labels(gold, scores, 290)
    found = corrected(sums.of(scores), sample)
    for label, one in enumerate((found.negative, found.neutral, found.positive)):
        seen = int((sample.gold == label).sum())
        assert one.low is not None
        assert one.high is not None
        assert seen / 300 - 1e-12 <= one.low <= one.estimate <= one.high <= (seen + 10) / 300 + 1e-12


def test_one_stratum_is_no_stratum() -> None:
    """A stream with one segment has that segment's shares."""
    gold, scores = population(700, (0.2, 0.5, 0.3))
    total, sample = sums.of(scores), labels(gold, scores, 150)
    assert stratified([(total, sample)]) == shares(total, sample)


def test_strata_are_weighted_by_their_texts() -> None:
    """As many labels in a small segment as in a large one: the whole is not the mean of the labels."""
    large, small = population(9000, (0.1, 0.3, 0.6), seed=1), population(1000, (0.8, 0.1, 0.1), seed=2)
    found = stratified([(sums.of(scores), labels(gold, scores, 200)) for gold, scores in (large, small)])
    truth = true_shares(np.concatenate([large[0], small[0]]))
    assert found.negative.estimate == pytest.approx(truth[0], abs=0.05)
    assert found.net.low is not None
    assert found.net.high is not None
    assert found.net.low < truth[3] < found.net.high
    assert found.labels == 400


def test_segments_with_few_labels_are_taken_together() -> None:
    """Many small segments, labelled in proportion, get the stream's shares; the note says how many were joined."""
    parts = [population(100, (0.3, 0.4, 0.3), seed=seed) for seed in range(30)]
    big = population(2000, (0.1, 0.3, 0.6), seed=99)
    strata = [(sums.of(scores), labels(gold, scores, 5)) for gold, scores in parts]
    found = stratified([*strata, (sums.of(big[1]), labels(*big, 100))])
    truth = true_shares(np.concatenate([*(gold for gold, _ in parts), big[0]]))
    assert found.method is Method.CORRECTED
    assert "30 segments are taken together" in found.note
    assert found.net.low is not None
    assert found.net.high is not None
    assert found.net.low < truth[3] < found.net.high


def test_a_segment_without_labels_joins_another() -> None:
    """One segment without any label does not stop the stream's shares."""
    first, second = population(900, (0.3, 0.4, 0.3), seed=1), population(50, (0.3, 0.4, 0.3), seed=2)
    found = stratified([(sums.of(first[1]), labels(*first, 120)), (sums.of(second[1]), NO_LABELS)])
    assert (found.texts, found.labels) == (950, 120)
    assert "2 segments are taken together: fewer than 10 labels are there of 1 of them." in found.note


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(0, 200), st.sampled_from([0.0, 1.0, 6.0]))
def test_estimates_are_always_possible(seed: int, number: int, more: int, skill: float) -> None:
    """Whatever is drawn: low <= estimate <= high, shares within 0 and 1, net within -1 and 1."""
    part = np.random.default_rng(seed).dirichlet([0.3, 0.3, 0.3])
    gold, scores = population(number + more, (part[0], part[1], 1 - part[0] - part[1]), seed=seed, skill=skill)
    found = corrected(sums.of(scores), labels(gold, scores, number))
    for one, least in ((found.negative, 0), (found.neutral, 0), (found.positive, 0), (found.net, -1)):
        assert one.low is not None
        assert one.high is not None
        assert least <= one.low <= one.estimate <= one.high <= 1


def test_a_segment_that_was_left_out() -> None:
    """Where people have labelled one segment alone, the whole is not corrected by it, and the note says why; labels of
    texts that were drawn from all are in proportion, and nearly never taken for others.
    """
    parts = [population(count, (0.3, 0.4, 0.3), seed=count) for count in (900, 500, 60, 40, 20)]
    totals = [sums.of(scores) for _, scores in parts]

    def whole(counts: list[int], seed: int) -> Shares:
        return stratified(
            [(total, labels(*part, n, seed)) for total, part, n in zip(totals, parts, counts, strict=True)]
        )

    found = whole([120, 0, 0, 0, 0], 1)
    assert (found.method, points(found)) == (Method.RAW, points(raw(np.sum(totals, axis=0))))
    assert "hardly any of some segments" in found.note
    assert whole([0, 9, 9, 9, 9], 1).method is Method.RAW
    assert whole([120, 12, 0, 0, 0], 1).method is Method.CORRECTED
    chosen = np.random.default_rng(5)
    drawn = [chosen.multivariate_hypergeometric([len(gold) for gold, _ in parts], 100).tolist() for _ in range(300)]
    assert all(whole(counts, seed).method is Method.CORRECTED for seed, counts in enumerate(drawn))
