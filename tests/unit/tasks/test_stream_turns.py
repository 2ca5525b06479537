"""Questions about large streams leave other callers their turns: they are answered in small parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

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
SUMS = np.array([1.0, 0, 0, 0.5, 0.2, 0.25, 0.04, 0.1]).tobytes()


@contextmanager
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The processor time of each turn, in seconds: after it, others have theirs."""
    found: list[float] = []
    sleep, began = time.sleep, time.thread_time()

    def turn(seconds: float) -> None:
        nonlocal began
        found.append(time.thread_time() - began)
        sleep(seconds)
        began = time.thread_time()

    monkeypatch.setattr(time, "sleep", turn)
    yield found
    turn(0)
    monkeypatch.undo()


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
    with turns(monkeypatch) as taken:
        found = measuring.measure(stream, None, [Span()])
    assert len(found[Span()]) == SEGMENTS
    assert max(taken) < sum(taken) / 10


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
    with turns(monkeypatch) as taken:
        answer = series_body(kept, labels, stream, SeriesQuery.read({"bucket": "day", "tz": "Europe/Berlin"}))
    items = answer["items"]
    assert isinstance(items, list)
    assert sum(item["texts"] for item in items) == DAYS * 96
    assert len(items) == DAYS + 1
    assert max(taken) < sum(taken) / 4
    with pytest.raises(UploadRefused, match="20000"):
        series_body(kept, labels, stream, SeriesQuery.read({"bucket": "hour"}))
