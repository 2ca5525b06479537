"""Shifts while texts arrive, and in texts that are all there."""

from __future__ import annotations

import numpy as np
import pytest

from model.shares.calibrate import STREAMS, best_splits, highest, rate
from model.shares.detector import Detector, per_text
from model.shares.recent import PLACES, Recent
from model.shares.scan import BLOCK, NARROWEST, SAME_SIZE, SIZES, WIDEST, Block, Blocks
from model.shares.shift import Shift
from model.shares.shifts import Parts, intervals, shifts
from model.shares.sums import Floats, Integers
from model.shares.thresholds import MARGIN, ONLINE, PER_TEXT, offline_threshold, threshold
from tests.support.populations import population


def nets(texts: int, part: tuple[float, float, float], seed: int = 0) -> Floats:
    """The net probabilities of texts with these shares."""
    _, scores = population(texts, part, seed=seed, skill=2.0)
    return scores[:, 2] - scores[:, 0]


def two_levels(seed: int = 0, points: float = 0.2, before: int = 3000, after: int = 3000) -> Floats:
    """Texts of which so large a part, from `before` on, is POSITIVE instead of NEGATIVE."""
    first = nets(before, (0.4, 0.3, 0.3), seed)
    return np.concatenate([first, nets(after, (0.4 - points, 0.3, 0.3 + points), seed + 1000)])


def watched(values: Floats, keys: Integers | None = None, false_alarms: float = PER_TEXT) -> list[Shift]:
    """The shifts that a new detector finds, with a text a second."""
    return Detector(false_alarms).add(values, np.arange(len(values)) * 1.0, keys)


def test_shift_is_found_with_when_and_how_much() -> None:
    """Twenty points: found within 300 texts in the middle case; time and size are in their intervals."""
    delays, when, size = [], [], []
    truth = nets(40_000, (0.2, 0.3, 0.5), 50).mean() - nets(40_000, (0.4, 0.3, 0.3), 51).mean()
    for seed in range(40):
        found = [one for one in watched(two_levels(seed)) if one.found >= 3000]
        assert found
        delays.append(found[0].found - 3000)
        when.append(found[0].earliest <= 3000 <= found[0].latest)
        size.append(found[0].low <= truth <= found[0].high)
        assert found[0].size == pytest.approx(found[0].after - found[0].before)
        assert found[0].earliest <= found[0].when <= found[0].latest <= found[0].found
    assert np.median(delays) <= 300
    assert np.mean(when) >= 0.9
    assert np.mean(size) >= 0.9


def test_small_shift_is_found() -> None:
    """Ten points are found in 90 % and more, the middle one within 1,100 texts."""
    found = [
        [one.found for one in watched(two_levels(seed, 0.1, after=5000)) if one.found >= 3000] for seed in range(40)
    ]
    assert np.mean([bool(one) for one in found]) >= 0.9
    assert np.median([one[0] - 3000 if one else 5000 for one in found]) <= 1100


def test_large_shift_is_told_as_large_and_when_it_was() -> None:
    """A shift found before the narrowest window is full of new texts is told neither too early nor too small."""
    late, size, points = [], [], []
    for seed in range(40):
        before, after = nets(300 + seed % BLOCK, (0.1, 0.2, 0.7), seed), nets(200, (0.8, 0.15, 0.05), seed + 1000)
        found = watched(np.concatenate([before, after]))[0]
        assert found.found < len(before) + NARROWEST
        late.append(found.earliest <= len(before) <= found.latest)
        truth = after.mean() - before.mean()
        size.append(found.low <= truth <= found.high)
        points.append(found.size / truth)
    assert np.mean(late) >= 0.9
    assert np.mean(size) >= 0.9
    assert np.median(points) == pytest.approx(1, abs=0.1)


def test_unchanged_texts_are_no_shift() -> None:
    """In 10,000 unchanged texts there is an alarm in 5 % of streams, here in at most 5 of 60."""
    alarms = [bool(watched(nets(10_000, (0.3, 0.4, 0.3), seed))) for seed in range(60)]
    assert sum(alarms) <= 5


def test_after_a_shift_the_new_level_is_the_usual_one() -> None:
    """A stream that goes up and down again has two shifts, each from the level of the one before it."""
    values = np.concatenate([two_levels(3, 0.3, 2000, 2000), nets(2000, (0.4, 0.3, 0.3), 77)])
    first, second = watched(values)
    assert first.size > 0 > second.size
    assert second.before == pytest.approx(first.after, abs=0.1)
    # The texts with which the first was found belong to the new level.
    assert second.texts_before == pytest.approx(4000 - first.when, abs=100)
    assert second.texts_before > 4000 - first.found + BLOCK
    assert (first.when, second.when) == pytest.approx((2000, 4000), abs=100)


def test_cuts_into_calls_are_no_matter() -> None:
    """One call, calls of one text and calls of odd lengths, each through bytes, find the same shifts."""
    values, times = two_levels(1, 0.3, 1000, 600), np.arange(1600) * 1.0
    keys = np.random.default_rng(1).integers(0, 2**62, 1600)
    whole = Detector().add(values, times, keys)
    assert whole
    for step in (1, 7, 333):
        detector, found = Detector(), []
        for start in range(0, 1600, step):
            detector = Detector.from_bytes(detector.to_bytes())
            part = slice(start, start + step)
            found += detector.add(values[part], times[part], keys[part])
        assert [one.found for one in found] == [one.found for one in whole]
        assert found[0].size == pytest.approx(whole[0].size)


def test_state_does_not_grow() -> None:
    """After a hundred thousand texts the state is less than 6 KB, and 2 KB without digests."""
    rng = np.random.default_rng(1)
    values, times = rng.normal(size=100_000), np.arange(100_000.0)
    detector, bare = Detector(), Detector()
    detector.add(values, times, rng.integers(0, 2**62, 100_000))
    bare.add(values, times)
    assert len(detector.to_bytes()) < 6000
    assert len(bare.to_bytes()) < 2000


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02\x00\x01\x00\x00\x00" + bytes(32), bytes(200)])
def test_other_bytes_are_no_state(raw: bytes) -> None:
    """Bytes that are cut short or of another version are refused."""
    with pytest.raises(ValueError):
        Detector.from_bytes(raw)
    good = Detector().to_bytes()
    with pytest.raises(ValueError):
        Detector.from_bytes(good[:-1])


def test_what_is_no_number_is_refused_and_changes_nothing() -> None:
    """A value or time that is not finite raises before anything is taken in."""
    detector = Detector()
    before = detector.to_bytes()
    for values, times in (([0.1, np.nan], [0.0, 1.0]), ([0.1, 0.2], [0.0, np.inf]), ([0.1], [0.0, 1.0])):
        with pytest.raises(ValueError):
            detector.add(np.array(values), np.array(times), np.array([1, 2]))
        with pytest.raises(ValueError):
            shifts(np.array(times), np.array(values))
    assert detector.to_bytes() == before
    assert detector.add(np.empty(0), np.empty(0)) == []
    assert shifts(np.empty(0), np.empty(0)) == []


def test_one_texts_copies_are_no_shift() -> None:
    """A negative text of which a thousand copies come among others raises an alarm only if its digest is not given."""
    usual = nets(6000, (0.2, 0.4, 0.4))
    keys = np.arange(6000) * (2**50 + 12345)
    mixed = np.insert(usual, np.sort(np.random.default_rng(1).integers(3000, 6000, 1000)), -0.97)
    copies = np.insert(keys, np.sort(np.random.default_rng(1).integers(3000, 6000, 1000)), -77)
    assert watched(mixed)
    assert watched(mixed, copies) == []
    assert shifts(np.arange(7000), mixed)
    assert shifts(np.arange(7000), mixed, copies) == []


def test_copies_are_known_after_bytes() -> None:
    """A detector that goes on from its bytes still knows which texts came."""
    keys, values, times = np.arange(40) * (2**33 + 1), np.linspace(-1, 1, 40), np.arange(40.0)
    detector = Detector()
    detector.add(values, times, keys)
    again = Detector.from_bytes(detector.to_bytes())
    before = again.to_bytes()
    again.add(values, times, keys)
    assert again.to_bytes() == before


def test_a_few_rare_texts_are_no_surprise() -> None:
    """Where a window varies more than what was before it, its error is by the mean of both deviations."""
    blocks = Blocks()
    for step in range(20):
        blocks.append(Block(BLOCK, 0.0, BLOCK * (0.01 if step < 15 else 0.25), step))
    windows = blocks.windows()
    assert windows is not None
    newest = int(np.flatnonzero(windows.size == 100)[0])
    assert windows.error[newest] == pytest.approx((0.1 + 0.5) / 2 * np.sqrt(1 / 100 + 1 / 300))


def test_a_shift_is_put_at_its_best_place() -> None:
    """A split that the shortest interval found beside the shift is moved to it."""
    values = np.repeat([0.0, 1.0], 1000) + np.random.default_rng(1).normal(size=2000) * 0.3
    parts = Parts.of(values)
    assert parts is not None
    assert parts.placed([45]) == [50]


def test_recent_texts_are_known_and_old_ones_forgotten() -> None:
    """A text is known at once and after a few others, and no more after many thousands."""
    recent = Recent()
    many = np.random.default_rng(1).integers(-(2**62), 2**62, 20 * PLACES)
    assert recent.new(np.array([5, 5, 6, 5])).tolist() == [0, 2]
    assert recent.new(many[:10]).tolist() == list(range(10))
    assert recent.new(np.array([5])).tolist() == []
    recent.new(many)
    assert recent.new(np.array([5])).tolist() == [0]


def test_constant_texts_are_no_shift() -> None:
    """Equal values, all at one end, raise no alarm and no warning."""
    assert watched(np.full(2000, -1.0)) == []
    assert shifts(np.arange(2000), np.full(2000, -1.0)) == []


def test_blocks_hold_all_texts_in_few_blocks() -> None:
    """Nothing is lost as blocks become one; windows are of all lengths up to the widest."""
    blocks, rng, values = Blocks(), np.random.default_rng(1), []
    for step in range(1500):
        values.append(rng.normal(size=BLOCK))
        blocks.append(Block(BLOCK, float(values[-1].sum()), float((values[-1] ** 2).sum()), step))
    assert blocks.texts() == 1500 * BLOCK
    assert len(blocks.blocks) <= SAME_SIZE * SIZES
    windows = blocks.windows()
    assert windows is not None
    everything = np.concatenate(values)
    for size, before, after in zip(windows.size, windows.before, windows.after, strict=True):
        assert after == pytest.approx(everything[-int(size) :].mean())
        assert before == pytest.approx(everything[: -int(size)].mean())
    assert windows.size[0] > WIDEST * 0.9
    assert blocks.starts() == sorted(blocks.starts())


def test_sensitivity_is_a_rate_of_false_alarms() -> None:
    """Who wants fewer false alarms gets a higher threshold, from a rate a day and a volume a day; none is refused."""
    assert per_text(0.5, 100_000) == 5e-6
    found = [threshold(rate) for rate in (1e-2, 1e-4, PER_TEXT, 1e-6, 1e-8, 1e-12)]
    assert found == sorted(found)
    assert len(set(found)) == len(found)
    assert [threshold(rate * MARGIN) for _, rate in ONLINE] == pytest.approx([least for least, _ in ONLINE])
    # A fifth of the rate is left for what was not simulated.
    assert threshold(PER_TEXT) == pytest.approx(3.44, abs=0.03)
    with pytest.raises(ValueError):
        threshold(0)
    with pytest.raises(ValueError):
        offline_threshold(0, 100)
    assert offline_threshold(0.05, 200) < offline_threshold(0.01, 200) < offline_threshold(0.001, 200)
    assert offline_threshold(0.05, 200) < offline_threshold(0.05, 2000)


def test_tables_are_those_of_the_calibration() -> None:
    """A short calibration finds the tables' rates, within what chance allows: 400 runs instead of 6,000."""
    draw = STREAMS["normal"]
    least, wanted = ONLINE[8]
    assert rate(highest(draw, 400, 12_000, 99), least) == pytest.approx(wanted, rel=0.4)
    best = best_splits(draw, 400, 64, 99)
    assert np.mean(best > offline_threshold(0.2 * MARGIN, 64) ** 2) == pytest.approx(0.2, abs=0.06)


def test_offline_finds_all_shifts() -> None:
    """Texts in any order of time with three shifts: all three, in order, each with its interval, and no more."""
    parts = [nets(1500, (0.4, 0.3, 0.3), 1), nets(900, (0.1, 0.3, 0.6), 2), nets(1600, (0.5, 0.3, 0.2), 3)]
    values = np.concatenate([*parts, nets(1000, (0.2, 0.3, 0.5), 4)])
    order = np.random.default_rng(1).permutation(5000)
    found = shifts(order * 1.0, values[order])
    assert [one.when for one in found] == pytest.approx([1500, 2400, 4000], abs=60)
    assert [one.size > 0 for one in found] == [True, False, True]
    for one, truth in zip(found, (1500, 2400, 4000), strict=True):
        assert one.earliest <= truth <= one.latest
        assert one.low <= one.size <= one.high
    assert sum(one.texts_before for one in found) == pytest.approx(4000, abs=60)


def test_offline_false_alarms() -> None:
    """Texts without a shift have one found in 5 % of cases, whatever their number: here in at most 9 of 90."""
    lengths = [200, 1000, 6000]
    found = [bool(shifts(np.arange(n), nets(n, (0.3, 0.4, 0.3), seed))) for n in lengths for seed in range(30)]
    assert sum(found) <= 9


def test_a_few_texts_have_no_shift() -> None:
    """Below 160 texts nothing can be told apart."""
    values = np.r_[np.full(70, -1.0), np.full(70, 1.0)]
    assert shifts(np.arange(140), values) == []
    assert watched(values) == []


def test_intervals_are_of_all_lengths() -> None:
    """The intervals cover all blocks, the whole among them, and the short ones are everywhere."""
    found = intervals(100)
    assert (0, 100) in found
    assert all(0 <= start < end <= 100 for start, end in found)
    short = [one for one in found if one[1] - one[0] <= 12]
    assert {block for start, end in short for block in range(start, end)} == set(range(100))
