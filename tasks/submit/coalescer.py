"""Many callers' texts into few chunks; futures out. Knows neither Flask nor Celery nor Redis.

Greedy: whatever has gathered is claimed at once in one step, which answers known texts and leaves out those that others
have under way. While fewer than `max_under_way` chunks of this process are under way, all that is claimed leaves as
one; while they are, texts gather. So a lone text never waits for company, and under load one message carries many
texts. Callers of the same text share one future.

Callers who have been answered often ask again at once. When a chunk comes back while other texts wait, those wait a
little longer, until as many have come as were answered: else two halves of the callers take turns, each with half a
chunk. Works alike under threads and under gevent's patched threading.
"""

from __future__ import annotations

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tasks.background import Loop
from tasks.errors import QueueFull

_log = logging.getLogger(__name__)

T = TypeVar("T")
Claim = Callable[[Mapping[str, str]], Iterable[str]]
"""Takes texts by key, resolves those that are known, and returns the keys that are to be sent; the rest is under way by
others' doing.
"""
Send = Callable[[Mapping[str, str]], None]
"""Sends texts by key off as one chunk."""
Release = Callable[[Iterable[str]], Iterable[str]]
"""Gives claims up; returns the keys that others rely on, which are to be sent all the same."""
CLAIM_LIMIT = 256
"""Texts claimed in one step."""
ALWAYS_WAITING = 16
"""So many texts may wait however slow the workers are."""
LINGER_SHARE, LINGER_MOST_S = 0.25, 0.01
"""How long texts wait at the most for callers who come back: a part of what a chunk takes, and seconds."""
FILL = 0.8
"""The part of its callers' patience that a full queue takes: what the measured rate does not foresee has to fit into
the rest.
"""


@dataclass(slots=True)
class _Entry(Generic[T]):
    text: str
    future: Future[T] = field(default_factory=Future)
    waiters: int = 0
    origins: list[object] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Chunk:
    keys: set[str]
    sent_at: float


class Coalescer(Generic[T]):
    """One for each process. `claim`, `send` and `release` run on the coalescer's own thread, one at a time; what the
    first two raise reaches every caller of their texts.

    Args:
        claim: see `Claim`.
        send: see `Send`.
        release: see `Release`.
        chunk_limit: the most texts of a chunk, at least 1, asked each time; it may not raise.
        max_under_way: chunks that may be out at once, asked each time; it may not raise. One is scored while the next
            is tokenised.
        queue_limit: texts that may wait in this process, gathered or under way, at the most.
        rate: texts a second that the workers should do for this process, infinite if nobody can tell; asked each time;
            it may not raise.
        patience_s: how long callers wait. No more texts may wait than are answered in that time: the others would wait
            in vain.
        expire_after_s: a chunk unanswered for so long no longer holds its place; its answer is still welcome.
    """

    def __init__(
        self,
        claim: Claim,
        send: Send,
        release: Release,
        *,
        chunk_limit: Callable[[], int],
        max_under_way: Callable[[], int],
        queue_limit: int,
        rate: Callable[[], float] = lambda: math.inf,
        patience_s: float = math.inf,
        expire_after_s: float,
    ) -> None:
        self._claim = claim
        self._send = send
        self._release = release
        self._chunk_limit = chunk_limit
        self._max_under_way = max_under_way
        self._queue_limit = queue_limit
        self._expected_rate = rate
        self._patience_s = patience_s
        self._expire_after_s = expire_after_s
        self._wake = threading.Condition()
        self._entries: dict[str, _Entry[T]] = {}
        self._gathered: dict[str, None] = {}
        self._claimed: dict[str, None] = {}
        self._chunks: dict[int, _Chunk] = {}
        self._chunk_of: dict[str, int] = {}
        self._numbers = itertools.count()
        self._round_trip_s = 0.0
        self._linger_until = 0.0
        self._expected_back = 0
        self._loop = Loop("coalescer", self._run, limit_s=math.inf)
        self._full_rate: float | None = None
        self._drained = 0
        self._drained_since = time.monotonic()
        self._starved = True

    def submit(self, key: str, text: str, origin: object = None) -> Future[T]:
        """The future of this key's outcome, shared with everyone who waits for it. Every caller calls `leave` in the
        end.

        Args:
            key: of the text.
            text: as it is to be sent.
            origin: the caller's name for himself, see `origins`.

        Raises:
            QueueFull: as many texts wait as may.
        """
        with self._wake:
            entry = self._entries.get(key)
            if entry is None:
                if len(self._entries) >= self._queue_limit or self._in_vain():
                    raise QueueFull(self._retry_after_s())
                entry = self._entries[key] = _Entry(text)
                self._gathered[key] = None
                self._expected_back = max(0, self._expected_back - 1)
                self._loop.start()
                self._wake.notify()
            entry.waiters += 1
            if origin is not None:
                entry.origins.append(origin)
            return entry.future

    def origins(self, keys: Iterable[str]) -> list[object]:
        """The origins of all who have asked for these keys so far."""
        with self._wake:
            return [origin for key in keys if (entry := self._entries.get(key)) is not None for origin in entry.origins]

    def leave(self, key: str, future: Future[T]) -> None:
        """The caller no longer waits. A text that nobody waits for and that has not left yet is dropped."""
        with self._wake:
            entry = self._entries.get(key)
            if entry is None or entry.future is not future:
                return
            entry.waiters -= 1
            if entry.waiters == 0 and key not in self._chunk_of and key not in self._claimed:
                self._gathered.pop(key, None)
                del self._entries[key]

    def resolve(self, outcomes: Mapping[str, T]) -> None:
        """Hands outcomes to their callers and makes room for the next chunk. Unknown keys are ignored: their callers
        have left.
        """
        with self._wake:
            resolved = [(self._take(key), outcome) for key, outcome in outcomes.items()]
            self._count(len(outcomes))
            self._expect_back(sum(entry is not None and entry.waiters for entry, _ in resolved))
            self._wake.notify()
        for entry, outcome in resolved:
            if entry is not None and not entry.future.done():
                entry.future.set_result(outcome)

    def overdue(self, older_than_s: float) -> list[str]:
        """Keys that have been under way for so long that their reply may have been lost."""
        limit = time.monotonic() - older_than_s
        with self._wake:
            return [key for key, entry in self._entries.items() if entry.since < limit and key not in self._gathered]

    @property
    def waiting(self) -> int:
        """Texts that wait in this process."""
        return len(self._entries)

    def _run(self) -> None:
        claimed_last = False
        while True:
            with self._wake:
                self._expire()
                while (linger_s := self._linger_s()) or (not self._gathered and not self._may_send()):
                    self._wake.wait(timeout=linger_s or (1.0 if self._chunks else None))
                    self._expire()
                    claimed_last = False
                claiming = bool(self._gathered) and not (claimed_last and self._may_send())
            if claiming:
                self._claim_gathered()
            else:
                self._send_claimed()
            claimed_last = claiming

    def _may_send(self) -> bool:
        return bool(self._claimed) and len(self._chunks) < self._max_under_way()

    def _expect_back(self, callers: int) -> None:
        now = time.monotonic()
        if now >= self._linger_until:  # not put off again and again by many workers' answers
            self._expected_back = 0
            self._linger_until = now + min(LINGER_MOST_S, LINGER_SHARE * self._round_trip_s)
        self._expected_back += callers

    def _linger_s(self) -> float:
        """Seconds for which texts that might leave still wait for those who are expected back."""
        if (
            not self._expected_back
            or not (self._claimed or self._gathered)
            or len(self._chunks) >= self._max_under_way()
        ):
            return 0.0
        return max(0.0, self._linger_until - time.monotonic())

    def _claim_gathered(self) -> None:
        with self._wake:
            texts = {key: self._entries[key].text for key in itertools.islice(self._gathered, CLAIM_LIMIT)}
            for key in texts:  # before it is claimed: whoever leaves meanwhile must not drop it
                del self._gathered[key]
                self._claimed[key] = None
        try:
            mine = set(self._claim(texts))
        except Exception as error:
            # Whatever it is, callers are told instead of left waiting, and the next text goes on.
            # Those who came meanwhile too: another attempt would take them as long as this one took its callers.
            with self._wake:
                gathered = list(self._gathered)
            self._fail([*texts, *gathered], error)
            return
        with self._wake:
            for key in texts:
                if key not in mine:
                    self._claimed.pop(key, None)
                    entry = self._entries.get(key)
                    if entry is not None and entry.waiters == 0:
                        del self._entries[key]

    def _send_claimed(self) -> None:
        texts, left = self._next_texts()
        if left:
            try:
                texts |= {key: left[key] for key in self._release(left)}
            except Exception:  # the claims end by themselves
                _log.warning("claims not given up", exc_info=True)
        if not texts:
            return
        with self._wake:
            number = next(self._numbers)
            self._chunks[number] = _Chunk(set(texts), time.monotonic())
            self._chunk_of |= dict.fromkeys(texts, number)
        try:
            self._send(texts)
        except Exception as error:  # as above
            self._fail(texts, error)

    def _next_texts(self) -> tuple[dict[str, str], dict[str, str]]:
        """The next chunk's texts, and those before its last whose callers have all left."""
        texts: dict[str, str] = {}
        left: dict[str, str] = {}
        with self._wake:
            limit = self._chunk_limit()
            for key in list(self._claimed):
                if len(texts) == limit:
                    break
                entry = self._entries[key]
                del self._claimed[key]
                if entry.waiters:
                    texts[key] = entry.text
                else:
                    left[key] = entry.text
                    del self._entries[key]
        return texts, left

    def _fail(self, keys: Iterable[str], error: Exception) -> None:
        with self._wake:
            entries = [self._take(key) for key in keys]
        for entry in entries:
            if entry is not None and not entry.future.done():
                entry.future.set_exception(error)

    def _take(self, key: str) -> _Entry[T] | None:
        self._leave_chunk(key)
        self._gathered.pop(key, None)
        self._claimed.pop(key, None)
        return self._entries.pop(key, None)

    def _leave_chunk(self, key: str) -> None:
        number = self._chunk_of.pop(key, None)
        if number is not None and (chunk := self._chunks.get(number)) is not None:
            chunk.keys.discard(key)
            if not chunk.keys:
                self._round_trip_s += 0.2 * (time.monotonic() - chunk.sent_at - self._round_trip_s)
                del self._chunks[number]

    def _expire(self) -> None:
        limit = time.monotonic() - self._expire_after_s
        for chunk in [chunk for chunk in self._chunks.values() if chunk.sent_at <= limit]:
            for key in list(chunk.keys):
                self._leave_chunk(key)
                entry = self._entries.get(key)
                if entry is not None and entry.waiters == 0:
                    del self._entries[key]

    def _in_vain(self) -> bool:
        """Those who wait already take all the time that another would have."""
        return len(self._entries) >= ALWAYS_WAITING and len(self._entries) >= FILL * self._patience_s * self._rate()

    def _rate(self) -> float:
        """Texts a second: as measured while there was always one more to send, else as expected."""
        return self._expected_rate() if self._full_rate is None else self._full_rate

    def _count(self, texts: int) -> None:
        self._drained += texts
        if not (self._claimed or self._gathered):
            self._starved = True
        elapsed = time.monotonic() - self._drained_since
        if elapsed >= 1.0:
            rate = self._drained / elapsed
            if self._starved:
                self._full_rate = None
            else:
                self._full_rate = rate if self._full_rate is None else 0.5 * self._full_rate + 0.5 * rate
            self._drained, self._drained_since = 0, time.monotonic()
            self._starved = not (self._claimed or self._gathered)  # it may be long until the next one comes

    def _retry_after_s(self) -> int:
        """Seconds until the texts that wait now will have drained; 1 to 60."""
        rate = self._rate()
        if math.isinf(rate):
            return 5
        return min(60, max(1, math.ceil(len(self._entries) / rate)))
