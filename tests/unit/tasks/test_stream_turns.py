"""Questions about large streams leave other callers their turns: they are answered in small parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tasks.streams.counted import ENTRY
from tasks.streams.kept import KeptStreams
from tasks.streams.keys import stream_key
from tasks.streams.labels import StreamLabels
from tasks.streams.measuring import Measuring, Span
from tasks.streams.stream import Stream, StreamSettings
from tests.support.stack import Stack
from webapp.api.series import series_body
from webapp.api.stream_schemas import SeriesQuery
from webapp.reading.refusals import UploadRefused

SEGMENTS, SAMPLE = 30, 2000
DAYS = 2000
TRIES = 4
SUMS = np.array([1.0, 0, 0, 0.5, 0.2, 0.25, 0.04, 0.1]).tobytes()


def longest_share(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]) -> float:
    """The processor time of the longest turn, after which others have theirs, as a share of all that an answer takes.

    The least of several tries: the machine may be busy, and a turn may have to collect garbage.
    """
    shares = []
    for _ in range(TRIES):
        taken: list[float] = []
        sleep, began = time.sleep, time.thread_time()

        def turn(seconds: float, taken: list[float] = taken, sleep: Callable[[float], None] = sleep) -> None:
            nonlocal began
            taken.append(time.thread_time() - began)
            sleep(seconds)
            began = time.thread_time()

        with monkeypatch.context() as patched:
            patched.setattr(time, "sleep", turn)
            ask()
            turn(0)
        shares.append(max(taken) / sum(taken))
    return min(shares)


@pytest.fixture
def kept(server: Stack) -> KeptStreams:
    """The store of streams on an empty server."""
    return KeptStreams(server.redis, max_streams=3)


@pytest.fixture
def stream(kept: KeptStreams, server: Stack) -> Iterator[Stream]:
    """A stream without texts; what the test has stored of it is removed."""
    yield kept.put("", "large", StreamSettings(ttl=600))[0]
    server.redis.flushall()


def test_many_segments(kept: KeptStreams, stream: Stream, server: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels and comparisons of a stream with many full samples."""
    rng = np.random.default_rng(1)
    pipe = server.redis.pipeline(transaction=False)
    for number in range(SEGMENTS):
        pipe.hset(stream_key(stream.uid, "segments"), f"s{number}", number)
        pipe.hset(stream_key(stream.uid, "totals"), str(number), SUMS)
        keys = rng.integers(0, 2**63, SAMPLE)
        entries = {
            ENTRY.pack(int(key).to_bytes(8, "big"), 1000 * place, 0.5, 0.2, 0.0, 0.0, 0.0, -1, place, place): place
            for place, key in enumerate(keys)
        }
        pipe.zadd(stream_key(stream.uid, "sample", number), entries)
    pipe.execute()
    measuring = Measuring(kept, StreamLabels(server.redis))
    measuring.measure(stream, ["s0"], [Span()])  # loads numpy
    assert len(measuring.measure(stream, None, [Span()])[Span()]) == SEGMENTS
    assert longest_share(monkeypatch, lambda: measuring.measure(stream, None, [Span()])) < 0.15


def test_texts_of_many_years(kept: KeptStreams, stream: Stream, server: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Series of a segment that has texts in each quarter of an hour of years, as times are what callers say."""
    server.redis.hset(stream_key(stream.uid, "segments"), "", 0)
    pipe = server.redis.pipeline(transaction=False)
    for day in range(DAYS):
        pipe.hset(stream_key(stream.uid, "q", 0, day), mapping={str(quarter): SUMS for quarter in range(96)})
        pipe.sadd(stream_key(stream.uid, "days"), f"0:{day}")
    pipe.execute()
    labels = StreamLabels(server.redis)
    series_body(kept, labels, stream, SeriesQuery.read({"bucket": "day", "to": "1973-06-01", "from": "1973-05-01"}))
    query = SeriesQuery.read({"bucket": "day", "tz": "Europe/Berlin"})
    answer = series_body(kept, labels, stream, query)
    items = answer["items"]
    assert isinstance(items, list)
    assert sum(item["texts"] for item in items) == DAYS * 96
    assert len(items) == DAYS + 1
    assert longest_share(monkeypatch, lambda: series_body(kept, labels, stream, query)) < 0.2
    with pytest.raises(UploadRefused, match="20000"):
        series_body(kept, labels, stream, SeriesQuery.read({"bucket": "hour"}))
