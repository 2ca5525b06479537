"""Many callers' texts into few chunks; futures out. Knows neither Flask nor Celery nor Redis.

Greedy: whatever has gathered is claimed at once in one step, which answers known texts and leaves out those that others
have under way. While fewer than `max_under_way` chunks of this process are under way, all that is claimed leaves as
one; while they are, texts gather. So a lone text never waits for company, and under load one message carries many
texts. Callers of the same text share one future.

Works alike under threads and under gevent's patched threading.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, NamedTuple, TypeVar

from tasks.background import Loop
from tasks.submit.admission import Admission
from tasks.submit.entries import CLAIMED, DONE, GATHERED, Entries, Entry
from tasks.submit.lingering import Lingering

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Claimed(NamedTuple, Generic[T]):
    """What a claim found. A text that is in neither is under way by others' doing."""

    known: Mapping[str, T]
    """Outcomes by key."""
    to_send: Iterable[str]
    """Keys."""


Claim = Callable[[Mapping[str, str]], Claimed[T]]
"""Claims texts by key."""
Send = Callable[[Mapping[str, str], Sequence[Any]], None]
"""Sends texts by key off as one chunk, on behalf of these origins."""
Release = Callable[[Iterable[str]], Iterable[str]]
"""Gives claims up; returns the keys that others rely on, which are to be sent all the same."""
CLAIM_LIMIT = 256
"""Texts claimed in one step."""
_EXPIRY_S = 1.0
"""While chunks are under way, it is seen so often whether one has expired."""


def _in_the_background(step: Callable[[], object]) -> None:
    Loop("coalescer", step, limit_s=math.inf).start()


class Coalescer(Generic[T]):
    """One for each process. `claim`, `send` and `release` run on the coalescer's own thread, one at a time; what the
    first two raise reaches every caller of their texts.

    Args:
        claim: see `Claim`.
        send: see `Send`.
        release: see `Release`.
        admission: says who may wait.
        chunk_limit: the most texts of a chunk, at least 1, asked each time; it may not raise.
        max_under_way: chunks that may be out at once, asked each time; it may not raise. One is scored while the next
            is tokenised.
        expire_after_s: a chunk unanswered for so long no longer holds its place; its answer is still welcome.
        clock: seconds.
        start: lets what it is given be called again and again on a thread of its own. Called with the first text and
            not at construction: a thread started before Gunicorn forks would not exist in its workers.
    """

    def __init__(
        self,
        claim: Claim[T],
        send: Send,
        release: Release,
        *,
        admission: Admission,
        chunk_limit: Callable[[], int],
        max_under_way: Callable[[], int],
        expire_after_s: float,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], object]], object] = _in_the_background,
    ) -> None:
        self._claim = claim
        self._send = send
        self._release = release
        self._admission = admission
        self._chunk_limit = chunk_limit
        self._max_under_way = max_under_way
        self._expire_after_s = expire_after_s
        self._clock = clock
        self._lingering = Lingering(clock=clock)
        self._entries: Entries[T] = Entries(clock=clock, chunk_took=self._lingering.took)
        self._wake = threading.Condition()
        self._claimed_last = False
        self._start: Callable[[Callable[[], object]], object] | None = start

    def submit(self, key: str, text: str, origin: object = None) -> Future[T]:
        """The future of this key's outcome, shared with everyone who waits for it. A caller who stops waiting before it
        has come calls `leave`.

        Args:
            key: of the text.
            text: as it is to be sent.
            origin: what the caller is to be known by when the text is sent.

        Raises:
            QueueFull: as many texts wait as may.
        """
        with self._wake:
            entry = self._entries.get(key)
            if entry is None:
                self._admission.admit(len(self._entries))
                entry = self._entries.add(key, text)
                self._lingering.came()
                if self._start is not None:
                    self._start(self.take_step)
                    self._start = None
                self._wake.notify()
            entry.waiters += 1
            if origin is not None:
                entry.origins.append(origin)
            return entry.future

    def leave(self, key: str, future: Future[T]) -> None:
        """The caller no longer waits. A text that nobody waits for and that has not left yet is dropped."""
        with self._wake:
            entry = self._entries.get(key)
            if entry is not None and entry.future is future:
                self._entries.leave(entry)

    def resolve(self, outcomes: Mapping[str, T]) -> None:
        """Hands outcomes to their callers and makes room for the next chunk. Unknown keys are ignored: their callers
        have left.
        """
        resolved: list[tuple[Entry[T], T]] = []
        entries = self._entries
        with self._wake:
            callers = 0
            for key, outcome in outcomes.items():
                if (entry := entries.get(key)) is not None:
                    callers += entry.waiters
                    entries.end(entry)
                    resolved.append((entry, outcome))
            self._admission.drained(len(outcomes), more=bool(entries.claimed or entries.gathered))
            self._lingering.answered(callers)
            self._wake.notify()
        for entry, outcome in resolved:
            entry.future.set_result(outcome)

    def overdue(self, older_than_s: float) -> list[str]:
        """Keys that have been under way for so long that their reply may have been lost."""
        limit = self._clock() - older_than_s
        with self._wake:
            return [entry.key for entry in self._entries if entry.since < limit and entry.state is not GATHERED]

    @property
    def waiting(self) -> int:
        """Texts that wait in this process."""
        return len(self._entries)

    def take_step(self, *, wait: bool = True) -> bool:
        """Claims once or sends one chunk, and returns whether there was anything to do; with `wait`, once there is.

        The coalescer's own thread does nothing else, and no other thread does it.
        """
        with self._wake:
            while True:
                step, look_again_s = self._next_step()
                if step is not None:
                    break
                if not wait:
                    return False
                self._wake.wait(timeout=look_again_s)
        step()
        return True

    def _next_step(self) -> tuple[Callable[[], None] | None, float | None]:
        """What is to be done now; or nothing, and the seconds after which to look again even if nobody wakes us.

        Claiming and sending take turns, so that neither keeps the other waiting.
        """
        entries = self._entries
        entries.expire(self._clock() - self._expire_after_s)
        gathered, has_place = bool(entries.gathered), len(entries.chunks) < self._max_under_way()
        may_send = has_place and bool(entries.claimed)
        lingering_s = self._lingering.left_s() if has_place and (gathered or may_send) else 0.0
        if lingering_s or not (gathered or may_send):
            self._claimed_last = False
            return None, lingering_s or (_EXPIRY_S if entries.chunks else None)
        self._claimed_last = gathered and not (self._claimed_last and may_send)
        return (self._claim_gathered if self._claimed_last else self._send_claimed), None

    def _claim_gathered(self) -> None:
        with self._wake:  # CLAIMED before it is: whoever leaves meanwhile must not drop it
            batch = self._entries.claim(CLAIM_LIMIT)
        try:
            known, to_send = self._claim({entry.key: entry.text for entry in batch})
            mine = set(to_send)
        except Exception as error:
            # Whatever it is, callers are told instead of left waiting, and the next text goes on.
            # Those who came meanwhile too: another attempt would take them as long as this one took its callers.
            with self._wake:
                failed = [*batch, *self._entries.gathered]
            self._fail(failed, error)
            return
        if known:
            self.resolve(known)
        if len(mine) == len(batch):
            return
        with self._wake:
            for entry in batch:
                if entry.state is CLAIMED and entry.key not in mine:
                    self._entries.wait_elsewhere(entry)

    def _send_claimed(self) -> None:
        limit = self._chunk_limit()
        with self._wake:
            left = self._entries.drop_left(limit)
        relied_on: dict[str, str] = {}
        if left:
            texts = {entry.key: entry.text for entry in left}
            try:
                relied_on = {key: texts[key] for key in self._release(texts)}
            except Exception:  # the claims end by themselves
                _log.warning("claims could not be given up", exc_info=True)
        with self._wake:
            chunk = self._entries.send(limit)
            origins = [origin for entry in chunk for origin in entry.origins]
        if not chunk and not relied_on:
            return
        try:
            self._send({entry.key: entry.text for entry in chunk} | relied_on, origins)
        except Exception as error:  # as above
            self._fail(chunk, error)

    def _fail(self, entries: Iterable[Entry[T]], error: Exception) -> None:
        with self._wake:
            failed = [entry for entry in entries if entry.state is not DONE]
            for entry in failed:
                self._entries.end(entry)
        for entry in failed:
            entry.future.set_exception(error)
