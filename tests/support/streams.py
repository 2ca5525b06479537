"""Streams as a worker leaves them: texts that were counted, for whoever looks for shifts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from tasks.jobs.keys import job_key
from tasks.streams.kept import KeptStreams
from tasks.streams.keys import STREAM_UNSEEN, stream_key
from tasks.streams.shifts import KeptShifts, Shift
from tasks.streams.stream import Stream, StreamSettings
from tasks.streams.unseen import Row, packed
from tasks.work.shifts import Shifts
from tests.support.stack import Stack

Drawn = Iterable[tuple[float, int]]
"""For each text its net and its class."""


def drawn(count: int, positive: float, seed: int) -> list[tuple[float, int]]:
    """Nets and classes of texts, of which this share is positive and the others are negative, of an unsure model."""
    random = np.random.default_rng(seed)
    is_positive = random.random(count) < positive
    nets = np.where(is_positive, random.beta(4, 2, count), -random.beta(4, 2, count))
    return [(float(net), 2 if net > 0 else 0) for net in nets]


class Live:
    """A stream on a stack's server, and the worker's look at it."""

    def __init__(
        self, stack: Stack, name: str = "debate", *, owner: str = "", most_series: int = 10, **settings: object
    ) -> None:
        self.redis = stack.redis
        self.streams = KeptStreams(stack.redis, max_streams=10)
        given = StreamSettings(ttl=1000, **settings)  # type: ignore[arg-type]
        self.stream: Stream = self.streams.put(owner, name, given)[0]
        self.shifts = Shifts(stack.redis, most_series=most_series)
        self.kept = KeptShifts(stack.redis)
        self.now = time.time()
        self._names = itertools.count()

    def key(self, part: str) -> str:
        """The key of a part of the stream."""
        return stream_key(self.stream.uid, part)

    def counted(
        self,
        texts: Drawn,
        *,
        segment: str = "",
        begin: float | None = None,
        step_s: float = 0.1,
        words: Iterable[bytes] | None = None,
        field: str | None = None,
    ) -> float:
        """Leaves texts as the script that counts them does; returns the time of the text that would come next.

        Args:
            texts: the texts.
            segment: their segment.
            begin: the time of the first, an hour ago unless it is given.
            step_s: the seconds between two texts.
            words: what their words are, 8 bytes each; all different unless given.
            field: the chunk's name.
        """
        at = self.now - 3600 if begin is None else begin
        different = (blake2b(str(next(self._names)).encode(), digest_size=8).digest() for _ in itertools.count())
        rows = []
        for (net, label), of in zip(texts, words or different, strict=False):
            rows.append(packed(Row(at, net, label, of, segment)))
            at += step_s
        self.redis.hset(self.key("segments"), segment, self.redis.hlen(self.key("segments")))
        self.redis.hset(self.key("unseen"), field or f"p.{next(self._names)}", b"".join(rows))
        self.redis.zadd(STREAM_UNSEEN, {self.stream.uid: time.time() - 1}, nx=True)
        for key in (self.key("segments"), self.key("unseen"), STREAM_UNSEEN):
            self.redis.expire(key, 1000)
        return at

    def running_job(
        self, job_id: str, *, chunks: int, done: Iterable[int], window: int = 2, age_s: float | None = None
    ) -> None:
        """A job that has so many chunks, of which these are done. With an age it is known to bring texts here, until it
        has ended.
        """
        self.redis.hset(job_key(job_id), mapping={"window": window, "chunks": chunks, "total": 1})
        if age_s is not None:
            self.redis.hset(job_key(job_id), "created_at", time.time() - age_s)
            self.redis.sadd(self.key("jobs"), job_id)
            self.redis.expire(self.key("jobs"), 1000)
        self.redis.delete(job_key(job_id, "done"))
        for number in done:
            self.redis.sadd(job_key(job_id, "done"), number)
        for key in (job_key(job_id), job_key(job_id, "done")):
            self.redis.expire(key, 1000)

    def ended(self, job_id: str) -> None:
        """The job has ended."""
        self.redis.srem(self.key("jobs"), job_id)

    def found(self) -> list[Shift]:
        """The shifts so far, the oldest first."""
        return self.kept.newest(self.stream)[::-1]

    @property
    def unseen(self) -> set[str]:
        """The chunks that nobody has looked at."""
        return {field.decode() for field in self.redis.hkeys(self.key("unseen"))}
