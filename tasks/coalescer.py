"""Many callers' texts into few chunks; futures out. Knows neither Flask nor Celery nor Redis.

Greedy: while fewer than `max_under_way` chunks of this process are under way, whatever has gathered leaves at once as one chunk;
while they are, texts gather. So a lone text never waits for company, and under load one message carries many texts. Callers of
the same text share one future. Works alike under threads and under gevent's patched threading.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tasks.errors import QueueFull

T = TypeVar("T")
Send = Callable[[Mapping[str, str]], Iterable[str]]
"""Takes texts by key, sends them off as one chunk, and returns the keys that are now under way by its doing."""


@dataclass(slots=True)
class _Entry(Generic[T]):
    text: str
    future: Future[T] = field(default_factory=Future)
    waiters: int = 0
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True)
class _Chunk:
    keys: set[str]
    expires_at: float


class Coalescer(Generic[T]):
    """One for each process. `send` runs on the coalescer's own thread, one chunk at a time.

    Args:
        send: see `Send`. What it raises reaches every caller of the chunk.
        chunk_limit: the most texts of a chunk, at least 1, asked each time; it may not raise.
        max_under_way: chunks that may be out at once: one is scored while the next is tokenised.
        queue_limit: texts that may wait in this process, gathered or under way.
        expire_after_s: a chunk unanswered for so long no longer holds its place; its answer is still welcome.
    """

    def __init__(self, send: Send, *, chunk_limit: Callable[[], int], max_under_way: int, queue_limit: int, expire_after_s: float) -> None:
        self._send = send
        self._chunk_limit = chunk_limit
        self._max_under_way = max_under_way
        self._queue_limit = queue_limit
        self._expire_after_s = expire_after_s
        self._wake = threading.Condition()
        self._entries: dict[str, _Entry[T]] = {}
        self._gathered: dict[str, None] = {}
        self._chunks: dict[int, _Chunk] = {}
        self._chunk_of: dict[str, int] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None
        self._drain_rate = 0.0
        self._drained = 0
        self._drained_since = time.monotonic()

    def submit(self, key: str, text: str) -> Future[T]:
        """The future of this key's outcome, shared with everyone who waits for it. Every caller calls `leave` in the end.

        Raises:
            QueueFull: as many texts wait as `queue_limit` allows.
        """
        with self._wake:
            entry = self._entries.get(key)
            if entry is None:
                if len(self._entries) >= self._queue_limit:
                    raise QueueFull(self._retry_after_s())
                entry = self._entries[key] = _Entry(text)
                self._gathered[key] = None
                self._start()
                self._wake.notify()
            entry.waiters += 1
            return entry.future

    def leave(self, key: str, future: Future[T]) -> None:
        """The caller no longer waits. A text that nobody waits for and that has not left yet is dropped."""
        with self._wake:
            entry = self._entries.get(key)
            if entry is None or entry.future is not future:
                return
            entry.waiters -= 1
            if entry.waiters == 0 and key not in self._chunk_of:
                self._gathered.pop(key, None)
                del self._entries[key]

    def resolve(self, outcomes: Mapping[str, T]) -> None:
        """Hands outcomes to their callers and makes room for the next chunk. Unknown keys are ignored: their callers have left."""
        with self._wake:
            resolved = [(self._take(key), outcome) for key, outcome in outcomes.items()]
            self._count(len(outcomes))
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

    def _start(self) -> None:
        # Not at construction: a thread started before Gunicorn forks would not exist in its workers.
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="coalescer", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._wake:
                self._expire()
                while not self._gathered or len(self._chunks) >= self._max_under_way:
                    self._wake.wait(timeout=1.0 if self._chunks else None)
                    self._expire()
                keys = list(itertools.islice(self._gathered, self._chunk_limit()))
                texts = {key: self._entries[key].text for key in keys}
                number = next(self._numbers)
                self._chunks[number] = _Chunk(set(keys), time.monotonic() + self._expire_after_s)
                for key in keys:
                    del self._gathered[key]
                    self._chunk_of[key] = number
            try:
                sent = set(self._send(texts))
            except Exception as error:  # whatever it is, callers are told instead of left waiting, and the next chunk goes on
                self._fail(keys, error)
            else:
                self._release(number, [key for key in keys if key not in sent])

    def _release(self, number: int, keys: Sequence[str]) -> None:
        """These keys of a chunk are under way by another process's doing and take no place here."""
        with self._wake:
            for key in keys:
                self._leave_chunk(key)
                entry = self._entries.get(key)
                if entry is not None and entry.waiters == 0:
                    del self._entries[key]

    def _fail(self, keys: Sequence[str], error: Exception) -> None:
        with self._wake:
            entries = [self._take(key) for key in keys]
        for entry in entries:
            if entry is not None and not entry.future.done():
                entry.future.set_exception(error)

    def _take(self, key: str) -> _Entry[T] | None:
        self._leave_chunk(key)
        self._gathered.pop(key, None)
        return self._entries.pop(key, None)

    def _leave_chunk(self, key: str) -> None:
        number = self._chunk_of.pop(key, None)
        if number is not None and (chunk := self._chunks.get(number)) is not None:
            chunk.keys.discard(key)
            if not chunk.keys:
                del self._chunks[number]

    def _expire(self) -> None:
        now = time.monotonic()
        for chunk in [chunk for chunk in self._chunks.values() if chunk.expires_at <= now]:
            for key in list(chunk.keys):
                self._leave_chunk(key)
                if self._entries[key].waiters == 0:
                    del self._entries[key]

    def _count(self, texts: int) -> None:
        self._drained += texts
        elapsed = time.monotonic() - self._drained_since
        if elapsed >= 1.0:
            rate = self._drained / elapsed
            self._drain_rate = rate if self._drain_rate == 0.0 else 0.5 * self._drain_rate + 0.5 * rate
            self._drained, self._drained_since = 0, time.monotonic()

    def _retry_after_s(self) -> int:
        """Seconds until the texts that wait now will have drained, at the rate measured; 1 to 60."""
        if self._drain_rate <= 0.0:
            return 5
        return min(60, max(1, math.ceil(len(self._entries) / self._drain_rate)))
