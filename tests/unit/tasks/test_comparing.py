"""Comparisons of segments, times and streams: which figures are used, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from model.shares import sums
from model.shares.estimates import NO_LABELS, Labelled, Verdict
from tasks.streams.comparing import Side, Times, compare
from tasks.streams.labelled import Counted
from tasks.streams.measuring import Measured, Part, Span
from tests.support.shares import Floats, Integers, biased_scores

TEXTS = 4000


def gold(seed: int, negative: float, positive: float, texts: int = TEXTS) -> Integers:
    """What people would say of so many texts, with these shares."""
    rng = np.random.default_rng(seed)
    return rng.choice(3, texts, p=(negative, 1 - negative - positive, positive))


def part(scores: Floats, labels: Integers, count: int, segment: str = "A", note: str = "") -> Part:
    """A segment of texts with these scores, of which the first `count` have labels."""
    labelled = Labelled(labels[:count], scores[:count]) if count else NO_LABELS
    counted = Counted(labelled, np.arange(count, dtype=float), 0, 0, note)
    return Part(segment, sums.of(scores), counted, 1.0)


def side(
    name: str, seed: int, shares: tuple[float, float], *, shift: float = 0.0, labels: int = 0, note: str = ""
) -> Side:
    """A segment with these shares of NEGATIVE and POSITIVE, which the model takes for better by `shift`."""
    said = gold(seed, *shares)
    return Side(name, Measured([part(biased_scores(said, seed, shift), said, labels, name, note)]))


def test_labels_turn_a_comparison_round_that_the_model_gets_wrong() -> None:
    """The model favours A, and by its counts A is ahead. With 150 labels of each, B is ahead, as it truly is."""
    a, b = (0.40, 0.30), (0.25, 0.45)
    (raw,) = compare([side("A", 1, a, shift=0.45), side("B", 2, b)])
    assert raw.comparison.net.verdict == Verdict.AHEAD
    assert raw.sentence.startswith("By the model's own counts, A is ahead of B")
    assert "100 more for A and 100 more for B" in raw.note
    (found,) = compare([side("A", 1, a, shift=0.45, labels=150), side("B", 2, b, labels=150)])
    assert (found.comparison.method, found.comparison.net.verdict) == ("corrected", Verdict.BEHIND)
    assert found.sentence.startswith("B is ahead of A")
    net = found.comparison.net
    assert net.low is not None
    assert net.high is not None
    assert net.low < -0.30 < net.high


def test_labels_of_one_side_alone_correct_nothing() -> None:
    """If only one side has enough labels both are raw, and it is said how many the other one needs."""
    a, b = (0.40, 0.30), (0.25, 0.45)
    both = side("A", 1, a, shift=0.45, labels=150), side("B", 2, b, labels=63)
    (found,) = compare(both)
    assert found.comparison.method == "raw"
    (raw,) = compare([side("A", 1, a, shift=0.45), side("B", 2, b)])
    assert found.comparison.net.estimate == raw.comparison.net.estimate
    assert "Labels that are missing for a correction: 37 more for B." in found.note


def test_many_are_compared_with_wider_intervals() -> None:
    """Each of four with each other: six comparisons, whose intervals hold together."""
    four = [side(name, seed, (0.3, 0.4), labels=200) for seed, name in enumerate("ABCD")]
    found = compare(four)
    assert [(one.first, one.second) for one in found] == [*zip("AAABBC", "BCDCDD", strict=True)]
    (alone,) = compare(four[:2])
    together = found[0].comparison
    assert together.comparisons == 6
    assert together.net.level == pytest.approx(0.95 ** (1 / 6))

    def width(low: float | None, high: float | None) -> float:
        assert low is not None
        assert high is not None
        return high - low

    wide, narrow = ((one.net.low, one.net.high) for one in (together, alone.comparison))
    assert width(*wide) > 1.2 * width(*narrow)


def test_before_and_after() -> None:
    """Two times of one segment are compared as a movement."""
    before, after = side("before", 1, (0.2, 0.5), labels=150), side("after", 2, (0.5, 0.2), labels=150)
    (found,) = compare([after, before], Times("the airline", "before 6 May 18:00", "after"))
    assert found.comparison.net.verdict == Verdict.BEHIND
    assert found.sentence.startswith("The net sentiment of the airline fell by")
    assert "from before 6 May 18:00 to after." in found.sentence


def test_it_is_said_where_a_mask_changes_the_verdict() -> None:
    """Where the names themselves make the difference, the masked comparison says so, and keeps the other answer."""
    said = gold(3, 0.3, 0.4)
    plain, masked = (Measured([part(biased_scores(said, 3, shift), said, 0)]) for shift in (0.5, 0.0))
    other = side("B", 4, (0.3, 0.4)).found
    (found,) = compare([Side("A", masked, plain), Side("B", other, other)])
    assert found.mask_matters
    assert found.comparison.net.verdict == Verdict.OPEN
    assert found.unmasked is not None
    assert found.unmasked.net.verdict == Verdict.AHEAD
    assert "With the names in the texts the answer would be: By the model's own counts, A is ahead of B" in found.note
    (same,) = compare([Side("A", masked, masked), Side("B", other, other)])
    assert not same.mask_matters
    assert "names" not in same.note


def test_a_whole_stream_is_its_segments_by_their_size() -> None:
    """All of a stream is measured as its segments together, each with its own labels; notes are told once."""
    small, large = gold(1, 0.8, 0.1, 1000), gold(2, 0.1, 0.8, 4000)
    parts = [part(biased_scores(some, 1), some, count, note="Uneven.") for some, count in ((small, 100), (large, 60))]
    found = Measured(parts)
    assert (found.texts, found.labels, found.needed, found.note) == (5000, 160, 0, "Uneven.")
    truth = float(np.mean(np.concatenate([small, large]) - 1))
    net = found.shares().net
    assert net.low is not None
    assert net.high is not None
    assert net.low < truth < net.high


def test_nothing_to_compare() -> None:
    """A side without texts has no shares and needs no labels; the comparison says that there are none."""
    nothing = Side("B", Measured([]))
    (found,) = compare([side("A", 1, (0.3, 0.4)), nothing])
    assert (nothing.found.texts, nothing.found.needed) == (0, 0)
    assert found.comparison.net.verdict == Verdict.OPEN
    assert found.sentence == "There is nothing to compare: no texts were counted for B."
    assert found.note == "There are no texts in one of the two."
    (both,) = compare([Side("A", Measured([])), nothing])
    assert both.sentence == "There is nothing to compare: no texts were counted for A and none for B."
    (times,) = compare([nothing, side("before", 1, (0.3, 0.4))], Times(None, "before 6 May 18:00", "after"))
    assert times.sentence == "There is nothing to compare: no texts were counted for the time after."


def test_times_are_whole_buckets() -> None:
    """A recent time is told in minutes, one that began more than a week ago in quarters of an hour."""
    now = 1_000_000_000.0
    assert Span(now - 3601, now).aligned(now) == (Span((now - 3601) // 60 * 60, now // 60 * 60), "minute")
    old = now - 30 * 86_400
    assert Span(old, None).aligned(now) == (Span(old // 900 * 900, None), "quarter")
    assert Span(None, now).aligned(now)[1] == "quarter"
    assert Span().is_all
    assert not Span(None, now).is_all
