"""Shifts of streams: which texts are looked at, in which order, exactly once, and what is kept and counted of it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.streams.keys import STREAM_UNSEEN
from tasks.streams.metrics import COUNTS, OTHER, SERIES, forget_expired, stream_metrics
from tasks.streams.shifts import Pace, faster, shift_facts, texts_per_day
from tasks.streams.stream import OTHER as OTHER_SEGMENT
from tasks.streams.unseen import FAILED, UNREAD, Row, packed, unpacked
from tasks.work.shifts import CLAIM_S, LATE_S, PATIENCE_S, Shifts
from tests.support.stack import Stack
from tests.support.streams import Live, drawn

MINUS, PLUS = 0.3, 0.8
"""Shares of POSITIVE between which the mood turns in these tests."""


def turned(live: Live, *, segment: str = "", seed: int = 1) -> float:
    """Texts whose mood turns after the first 1,500; returns the time at which it does."""
    turn = live.counted(drawn(1500, MINUS, seed), segment=segment)
    live.counted(drawn(1500, PLUS, seed + 1), segment=segment, begin=turn)
    return turn


def samples(live: Live, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric, by the values of their labels."""
    found = [sample for metric in stream_metrics(live.redis.hgetall(COUNTS)) for sample in metric.samples]
    return {
        tuple(sample.labels.values()): sample.value for sample in found if sample.name == f"sentiment_stream_{name}"
    }


def test_turn_is_found(server: Stack) -> None:
    """A turn of the mood is one shift, with time, size and words for it; an unchanged stream has none."""
    live, quiet = Live(server), Live(server, "quiet")
    turn = turned(live)
    quiet.counted(drawn(3000, MINUS, 3))
    assert live.shifts.look() == 2
    (shift,) = live.found()
    assert shift.number == 1
    assert abs(shift.when - turn) < 5
    assert shift.earliest <= shift.when <= shift.latest
    assert shift.low < shift.size < shift.high
    assert shift.low > 0.1
    assert shift.false_alarms_per_day > 0
    assert "rose by" in shift_facts(shift)["sentence"]
    assert quiet.found() == []
    assert live.unseen == quiet.unseen == set()
    assert live.shifts.look() == 0


def test_cut_into_looks(server: Stack) -> None:
    """Texts that come in many small chunks, each of which is looked at by another worker, yield the same shift."""
    whole, parts = Live(server, "whole"), Live(server, "parts")
    turned(whole)
    whole.shifts.look()
    texts, at = drawn(1500, MINUS, 1) + drawn(1500, PLUS, 2), None
    for begin in range(0, len(texts), 250):
        at = parts.counted(texts[begin : begin + 250], begin=at if at is not None else whole.now - 3600)
        assert Shifts(server.redis, most_series=10).look() == 1
    (one,), (other,) = whole.found(), parts.found()
    assert (one.when, one.size, one.texts_after) == pytest.approx((other.when, other.size, other.texts_after))


def test_segments_are_apart(server: Stack) -> None:
    """A turn in one segment is a shift of that segment alone."""
    live = Live(server)
    turned(live, segment="A")
    live.counted(drawn(3000, MINUS, 5), segment="B")
    live.shifts.look()
    assert [shift.segment for shift in live.found()] == ["A"]


def test_equal_texts_are_no_shift(server: Stack) -> None:
    """A thousand copies of one text, which says the opposite of the others, do not move the mood."""
    live = Live(server)
    at = live.counted(drawn(1500, MINUS, 1))
    live.counted([(0.95, 2)] * 1000, begin=at, words=[b"the same"] * 1000)
    live.shifts.look()
    assert live.found() == []


def test_each_text_once(server: Stack) -> None:
    """Many workers that look at the same time take each text through the detectors once."""
    live = Live(server)
    turned(live)
    with ThreadPoolExecutor(6) as pool:
        stored = [pool.submit(Shifts(server.redis, most_series=10).look_at, live.stream.uid) for _ in range(12)]
        assert sum(one.result() for one in stored) >= 1
    assert len(live.found()) == 1
    texts = samples(live, "texts_total")
    assert sum(texts.values()) == 3000


def test_a_look_takes_so_much(server: Stack) -> None:
    """However much waits, a look takes about a megabyte of it, or one chunk that has more: first what came in first,
    whatever the names of the jobs are.
    """
    live = Live(server)
    first, second = "f" * 32, "0" * 32
    live.running_job(first, chunks=3, done=[0, 1, 2], age_s=20)
    live.running_job(second, chunks=1, done=[0], age_s=10)
    live.ended(first)
    live.ended(second)
    at = None
    for chunk in (f"{first}.0", f"{first}.1", f"{first}.2", f"{second}.0"):
        at = live.counted(drawn(1900, MINUS, 1), segment="s" * 250, field=chunk, begin=at)
    assert live.shifts.look_at(live.stream.uid)
    assert live.unseen == {f"{first}.2", f"{second}.0"}
    assert live.shifts.look_at(live.stream.uid)
    assert live.unseen == set()
    live.counted(drawn(5000, MINUS, 1), segment="s" * 250, field="p.large", begin=at)
    assert live.shifts.look_at(live.stream.uid)
    assert live.unseen == set()


def test_worker_that_dies(server: Stack) -> None:
    """A worker that ends after it has looked and before it has stored that loses nothing and doubles nothing: the next
    one, which comes after its claim has passed, finds the same.
    """
    live = Live(server)
    turned(live)
    look = Shifts(server.redis, most_series=10).take(live.stream.uid)
    assert look is not None
    assert len(look.shifts) == 1
    assert (live.found(), len(live.unseen)) == ([], 2)
    live.shifts.look()
    assert [(one.number, one.when, one.size) for one in live.found()] == [
        (one.number, one.when, one.size) for one in look.shifts
    ]
    assert sum(samples(live, "texts_total").values()) == 3000


def test_claim(server: Stack) -> None:
    """A stream at which a worker looks is left alone by the others, until that one has died."""
    live = Live(server)
    live.counted(drawn(10, MINUS, 1))
    server.redis.zadd(STREAM_UNSEEN, {live.stream.uid: time.time() + CLAIM_S})
    assert live.shifts.look() == 0
    live.counted(drawn(10, MINUS, 2))
    assert live.shifts.look() == 0
    server.redis.zadd(STREAM_UNSEEN, {live.stream.uid: time.time() - 1})
    assert live.shifts.look() == 1
    assert live.unseen == set()


def test_worker_that_is_late(server: Stack) -> None:
    """A worker that was held up while another looked stores nothing."""
    live = Live(server)
    turned(live)
    slow = Shifts(server.redis, most_series=10)
    look = slow.take(live.stream.uid)
    assert look is not None
    assert live.shifts.look_at(live.stream.uid)
    assert not slow.store(look)
    assert len(live.found()) == 1
    assert sum(samples(live, "texts_total").values()) == 3000


def test_chunks_of_a_job_in_order(server: Stack) -> None:
    """A job's chunk that is counted before an earlier one waits for it; those of other jobs do not wait."""
    live, job, other = Live(server), "a" * 32, "b" * 32
    live.running_job(job, chunks=4, done=[0, 2])
    live.running_job(other, chunks=1, done=[0])
    for number in (0, 2):
        live.counted(drawn(10, MINUS, number), field=f"{job}.{number}")
    live.counted(drawn(10, MINUS, 9), field=f"{other}.0")
    live.shifts.look()
    assert live.unseen == {f"{job}.2"}
    assert live.shifts.look() == 1
    assert live.unseen == {f"{job}.2"}
    live.running_job(job, chunks=4, done=[0, 1, 2])
    live.counted(drawn(10, MINUS, 1), field=f"{job}.1")
    live.shifts.look()
    assert live.unseen == set()


def test_jobs_in_order(server: Stack) -> None:
    """A job that came in after one that has not ended waits for it, but not for long; texts of /predict do not wait."""
    live, old, first, second = Live(server), "a" * 32, "b" * 32, "c" * 32
    live.running_job(old, chunks=9, done=[], age_s=PATIENCE_S + 1)
    live.running_job(first, chunks=2, done=[0], age_s=3)
    live.running_job(second, chunks=1, done=[0], age_s=2)
    for field in (f"{first}.0", f"{second}.0", "p.x"):
        live.counted(drawn(10, MINUS, 1), field=field)
    live.shifts.look()
    assert live.unseen == {f"{second}.0"}
    live.running_job(first, chunks=2, done=[0, 1])
    live.counted(drawn(10, MINUS, 1), field=f"{first}.1")
    live.ended(first)
    live.shifts.look()
    assert live.unseen == set()


def test_chunks_of_a_job_that_is_gone(server: Stack) -> None:
    """What was counted of a job that was cancelled, or has expired, is looked at all the same."""
    live, cancelled, gone = Live(server), "a" * 32, "b" * 32
    live.running_job(cancelled, chunks=4, done=[0, 2])
    server.redis.hset(f"sentiq:j:{cancelled}", "cancelled_at", 1)
    live.counted(drawn(10, MINUS, 1), field=f"{cancelled}.2")
    live.counted(drawn(10, MINUS, 2), field=f"{gone}.5")
    live.shifts.look()
    assert live.unseen == set()


def test_old_texts_are_not_looked_at(server: Stack) -> None:
    """Texts of last week that come after today's are counted and not looked at, and so are those from the future."""
    live = Live(server)
    live.counted(drawn(1500, MINUS, 1))
    live.shifts.look()
    live.counted(drawn(1000, PLUS, 2), begin=live.now - 7 * 86_400)
    live.counted(drawn(1000, PLUS, 3), begin=live.now + 2 * LATE_S)
    live.shifts.look()
    assert live.found() == []
    assert live.kept.looked(live.stream).late == {"": 2000}
    assert sum(samples(live, "texts_total").values()) == 3500


def test_texts_without_scores(server: Stack) -> None:
    """Texts that failed or were not read are counted by themselves and go through no detector."""
    live = Live(server)
    at = live.counted(drawn(1500, MINUS, 1))
    at = live.counted([(0.0, FAILED)] * 700, begin=at)
    live.counted([(0.0, UNREAD)] * 800, begin=at)
    live.shifts.look()
    texts = samples(live, "texts_total")
    assert (texts["", "debate", "", "failed"], texts["", "debate", "", "unread"]) == (700, 800)
    assert live.found() == []
    assert live.kept.looked(live.stream).late == {}


def test_sensitivity(server: Stack) -> None:
    """With fewer false alarms allowed a shift takes more texts to be found; what is allowed is told with it."""
    strict, loose = Live(server, "strict", sensitivity=0.001), Live(server, "loose", sensitivity=5.0)
    for live in (strict, loose):
        turn = live.counted(drawn(4000, 0.4, 1))
        live.counted(drawn(4000, 0.5, 2), begin=turn)
        live.shifts.look_at(live.stream.uid)
    (careful,), (quick, *_) = strict.found(), loose.found()
    assert careful.found > quick.found
    assert careful.false_alarms_per_day == pytest.approx(0.001)
    assert quick.false_alarms_per_day == pytest.approx(5.0)


def test_metrics_have_a_cap(server: Stack) -> None:
    """So many segments have series of their own, with 0 shifts from the start; all others are one."""
    live = Live(server, owner="ann", most_series=2)
    for number in range(5):
        live.counted(drawn(10, MINUS, number), segment=f"s{number}")
        live.shifts.look()
    found = samples(live, "shifts_total")
    assert set(found) == {("ann", "debate", "s0"), ("ann", "debate", "s1"), ("", "_other", "_other")}
    assert set(found.values()) == {0}
    others = [count for labels, count in samples(live, "texts_total").items() if labels[1] == "_other"]
    assert sum(others) == 30
    assert set(samples(live, "shift_timestamp_seconds").values()) == {0}


def test_no_names_in_the_metrics(server: Stack) -> None:
    """With STREAM_METRICS=0 no name of a stream or segment is kept for the metrics."""
    live = Live(server, most_series=0)
    turned(live, segment="secret")
    live.shifts.look()
    assert {field.decode().partition("]")[0] + "]" for field in server.redis.hkeys(COUNTS)} == {OTHER}
    assert server.redis.hgetall(SERIES) == {}
    assert samples(live, "shifts_total") == {("", "_other", "_other"): 1}
    assert samples(live, "shift_timestamp_seconds")["", "_other", "_other"] == pytest.approx(time.time(), abs=60)


def test_stream_that_is_gone(server: Stack) -> None:
    """What is left of a deleted stream is not looked at, and its names leave the metrics."""
    live, other = Live(server), Live(server, "other")
    for one in (live, other):
        one.counted(drawn(10, MINUS, 1))
        one.shifts.look()
    live.counted(drawn(10, MINUS, 1))
    server.redis.delete(live.key("")[:-1])
    live.shifts.look()
    assert not server.redis.exists("sentiq:streams:unseen")
    forget_expired(server.redis)
    assert {labels[1] for labels in samples(live, "texts_total")} == {"other"}


def test_segments_beyond_the_most(server: Stack) -> None:
    """Texts of a segment that got no number are looked at together with the others of that kind."""
    live = Live(server)
    live.counted(drawn(10, MINUS, 1), segment="A")
    rows = b"".join(packed(Row(live.now, 0.5, 2, bytes(8), f"s{n}")) for n in range(3))
    server.redis.hset(live.key("unseen"), "p.x", rows)
    live.shifts.look()
    assert {labels[2] for labels in samples(live, "texts_total")} == {"A", OTHER_SEGMENT}
    states = {field.decode() for field in server.redis.hkeys(live.key("looked")) if field.startswith(b"s:")}
    assert states == {"s:A", f"s:{OTHER_SEGMENT}"}


def test_damaged_rows(server: Stack) -> None:
    """A chunk whose rows are damaged is left out, and holds up none of the others."""
    live = Live(server)
    live.counted(drawn(10, MINUS, 1))
    server.redis.hset(live.key("unseen"), "p.x", b"nonsense")
    live.shifts.look()
    assert live.unseen == set()
    assert sum(samples(live, "texts_total").values()) == 10


def test_state_that_cannot_be_read(server: Stack) -> None:
    """A detector whose state is of another version begins anew."""
    live = Live(server)
    live.counted(drawn(10, MINUS, 1))
    live.shifts.look()
    stored = server.redis.hget(live.key("looked"), "s:")
    server.redis.hset(live.key("looked"), "s:", stored[:-20] + bytes(20))
    turned(live)
    assert live.shifts.look() == 1
    assert live.unseen == set()


def test_row() -> None:
    """Rows that are joined come apart as they were; what is cut off is refused."""
    rows = [Row(1.7e9 + 0.25, 0.5, 2, b"12345678", "Ünited"), Row(0.0, -1.0, UNREAD, bytes(8), "")]
    joined = b"".join(map(packed, rows))
    assert list(unpacked(joined)) == rows
    for end in (1, 21, len(joined) - 1):
        with pytest.raises(Exception, match=r"requires a buffer|cut off"):
            list(unpacked(joined[:end]))


@pytest.mark.parametrize("per_day", [200.0, 86_400.0])
def test_pace(per_day: float) -> None:
    """A steady stream's pace is what comes in a day, from its first hours on; a change is followed within days."""
    pace = faster(None, round(per_day / 24), 0.0, 3599)
    for hour in range(1, 24 * 14):
        pace = faster(pace, round(per_day / 24), hour * 3600.0, hour * 3600.0 + 3599)
        if hour in (5, 24, 24 * 14 - 1):
            assert texts_per_day(pace) == pytest.approx(per_day, rel=0.12)
    for hour in range(24 * 14, 24 * 19):
        pace = faster(pace, 2 * round(per_day / 24), hour * 3600.0, hour * 3600.0 + 3599)
    assert texts_per_day(pace) == pytest.approx(2 * per_day, rel=0.12)


def test_pace_of_the_first_texts() -> None:
    """A burst at a stream's beginning counts as what comes in an hour."""
    assert texts_per_day(Pace(0.0, 1.0, 100.0)) == pytest.approx(2400, rel=0.05)
