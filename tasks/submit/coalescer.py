"""Merges the texts of many callers into few chunks and gives each caller a future. Independent of Flask and Celery.

It is greedy: all texts that have gathered are claimed in one step, which answers known texts and leaves out those that
other processes have under way. While fewer than `max_under_way` chunks of this process are under way, all claimed texts
leave at once as one chunk; otherwise texts gather. So a single text never waits for others, and under load one message
carries many texts. Callers of the same text share one future. Texts are named by keys, which are their digests.

Callers take turns by the cost of their texts (`tasks.submit.turns`). While there are several, an extra chunk may be
under way with texts of callers that have none under way, one of each: a lone text does not wait for others' chunks.

Works alike under threads and under gevent's patched threading.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from tasks.background import Loop
from tasks.cost import cost
from tasks.submit.entries import CLAIMED, DONE, GATHERED, Entries, Entry
from tasks.submit.lingering import Lingering
from tasks.submit.queue_limit import QueueLimit

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Claimed(NamedTuple, Generic[T]):
    """The result of a claim. A text that is in neither field is under way: another process has sent it."""

    known: Mapping[str, T]
    """Outcomes of known texts, by key."""
    to_send: Iterable[str]
    """The keys of the texts that this process has to send."""


Claim = Callable[[Mapping[str, str]], Claimed[T]]
"""A function that claims texts, given by key."""
Send = Callable[[Mapping[str, str], Sequence[Any], Collection[str]], None]
"""A function that sends texts, given by key, as one chunk on behalf of the given origins and callers."""
Release = Callable[[Iterable[str]], Iterable[str]]
"""A function that gives claims up; it returns keys that other processes rely on, which must be sent all the same."""
CLAIM_LIMIT = 256
"""The most texts that are claimed in one step."""
SEVERAL_S = 1.0
"""Seconds after which a caller who has sent texts no longer counts as one beside others."""
_EXPIRY_S = 1.0
"""Seconds between two checks for expired chunks, while chunks are under way."""


def _in_the_background(step: Callable[[], object]) -> Loop:
    loop = Loop("coalescer", step, limit_s=math.inf)
    loop.start()
    return loop


class Coalescer(Generic[T]):
    """Merges callers' texts into chunks; a web process has one for each model.

    `claim`, `send` and `release` run on the coalescer's own thread, one at a time. What the first two raise is raised
    to every caller of the texts concerned.

    Args:
        claim: see `Claim`.
        send: see `Send`.
        release: see `Release`.
        queue_limit: decides whether another text may wait.
        chunk_limit: what a chunk may cost, at least 1, given the seconds that chunks are under way if several callers
            have sent texts lately, or None; called each time, must not raise.
        max_under_way: the most chunks that may be under way at once, not counting an extra one; called each time, must
            not raise.
        expire_after_s: seconds after which an unanswered chunk no longer counts as under way; a later answer to it is
            still used.
        cost: what a text costs to score (`tasks.cost`).
        clock: the time in seconds.
        start: starts a loop that calls the function that it is given. Called with the first text and not at
            construction: a thread started before Gunicorn forks would not exist in its workers.
    """

    def __init__(
        self,
        claim: Claim[T],
        send: Send,
        release: Release,
        *,
        queue_limit: QueueLimit,
        chunk_limit: Callable[[float | None], int],
        max_under_way: Callable[[], int],
        expire_after_s: float,
        cost: Callable[[str], int] = cost,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], object]], Loop | None] = _in_the_background,
    ) -> None:
        self._claim = claim
        self._send = send
        self._release = release
        self._queue_limit = queue_limit
        self._chunk_limit = chunk_limit
        self._max_under_way = max_under_way
        self._expire_after_s = expire_after_s
        self._cost = cost
        self._clock = clock
        self._lingering = Lingering(clock=clock)
        self._entries: Entries[T] = Entries(clock=clock, chunk_took=self._lingering.took)
        self._wake = threading.Condition()
        self._claimed_last = False
        self._caller: str | None = None
        self._another_at = -math.inf
        self._start: Callable[[Callable[[], object]], Loop | None] | None = start
        self._loop: Loop | None = None
        self._closed = False

    def close(self) -> None:
        """Ends the coalescer's thread. Texts that have not been sent stay where they are."""
        with self._wake:
            self._closed = True
            if self._loop is not None:
                self._loop.stop()
            self._wake.notify()

    def submit(self, key: str, text: str, origin: object = None, *, caller: str = "") -> Future[T]:
        """The future of a text's outcome, shared by all callers of that text.

        A caller that stops waiting before the outcome has come must call `leave`.

        Args:
            key: the text's digest.
            text: the cleaned text.
            origin: the request that asks; passed to `send`.
            caller: who asks. Callers take turns, and each has a share of the queue.

        Raises:
            QueueFull: no further text may wait.
        """
        with self._wake:
            entry = self._entries.get(key)
            if entry is None:
                spent = self._cost(text)
                self._queue_limit.check(self._entries.ahead(caller, spent))
                entry = self._entries.add(key, text, spent, caller)
                self._lingering.came()
                if self._start is not None:
                    self._loop = self._start(self.take_step)
                    self._start = None
                self._wake.notify()
            self._entries.join(entry, caller)
            if caller != self._caller:
                if self._caller is not None:
                    self._another_at = self._clock()
                self._caller = caller
            if origin is not None:
                entry.origins.append(origin)
            return entry.future

    def leave(self, key: str, future: Future[T]) -> None:
        """Notes that a caller no longer waits. A text that nobody waits for is dropped if it has not been sent."""
        with self._wake:
            entry = self._entries.get(key)
            if entry is not None and entry.future is future:
                self._entries.leave(entry)

    def resolve(self, outcomes: Mapping[str, T]) -> None:
        """Hands outcomes to the callers and makes room for the next chunk.

        Unknown keys are ignored: their callers no longer wait.
        """
        resolved: list[tuple[Entry[T], T]] = []
        entries = self._entries
        with self._wake:
            callers = spent = 0
            for key, outcome in outcomes.items():
                if (entry := entries.get(key)) is not None:
                    callers += entry.waiters
                    spent += entry.cost
                    entries.end(entry)
                    resolved.append((entry, outcome))
            self._queue_limit.drained(spent, more=bool(entries.claimed or entries.gathered))
            self._lingering.answered(callers)
            self._wake.notify()
        for entry, outcome in resolved:
            entry.future.set_result(outcome)

    def overdue(self, older_than_s: float) -> list[str]:
        """Keys that have been under way for longer than `older_than_s`, so that their reply may have been lost."""
        limit = self._clock() - older_than_s
        with self._wake:
            return [entry.key for entry in self._entries if entry.since < limit and entry.state is not GATHERED]

    @property
    def waiting(self) -> int:
        """The number of texts that wait in this process."""
        return len(self._entries)

    @property
    def _several(self) -> bool:
        """Whether several callers have sent texts lately."""
        return self._clock() - self._another_at < SEVERAL_S

    def take_step(self, *, wait: bool = True) -> bool:
        """Makes one claim or sends one chunk; returns whether there was anything to do. `wait`: waits until there is.

        Only the coalescer's own thread may call this; it does nothing else.
        """
        with self._wake:
            while True:
                step, look_again_s = self._next_step()
                if step is not None:
                    break
                if not wait or self._closed:
                    return False
                self._wake.wait(timeout=look_again_s)
        step()
        return True

    def _next_step(self) -> tuple[Callable[[], None] | None, float | None]:
        """The step to take now; or None, with the seconds after which to look again even without a notification.

        Claiming and sending take turns, so that neither holds up the other.
        """
        entries = self._entries
        entries.expire(self._clock() - self._expire_after_s)
        gathered, has_place = bool(entries.gathered), entries.places_taken < self._max_under_way()
        may_send = bool(entries.claimed) if has_place else entries.may_send_extra
        lingering_s = self._lingering.left_s() if has_place and (gathered or may_send) else 0.0
        if lingering_s or not (gathered or may_send):
            self._claimed_last = False
            return None, lingering_s or (_EXPIRY_S if entries.chunks else None)
        self._claimed_last = gathered and not (self._claimed_last and may_send)
        # In a chunk with others' texts, a lone text would be answered with the last of them.
        extra = not has_place or (self._several and entries.may_send_extra)
        return (self._claim_gathered if self._claimed_last else partial(self._send_claimed, extra)), None

    def _claim_gathered(self) -> None:
        with self._wake:  # CLAIMED ahead of the claim itself: a caller that leaves meanwhile must not drop the text
            batch = self._entries.claim(CLAIM_LIMIT)
        try:
            known, to_send = self._claim({entry.key: entry.text for entry in batch})
            mine = set(to_send)
        except Exception as error:
            # Whatever the error, callers get it instead of waiting, and later texts are not affected. It goes to
            # callers that came meanwhile, too: for them another attempt would take as long again.
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

    def _send_claimed(self, extra: bool) -> None:
        limit = self._chunk_limit(self._lingering.round_trip_s if self._several else None)
        with self._wake:
            chunk, left = self._entries.send(limit, extra=extra)
        relied_on: dict[str, str] = {}
        if left:
            texts = {entry.key: entry.text for entry in left}
            try:
                relied_on = {key: texts[key] for key in self._release(texts)}
            except Exception:  # the claims expire by themselves
                _log.warning("claims could not be given up", exc_info=True)
        with self._wake:
            chunk = [entry for entry in chunk if entry.state is not DONE]
            origins = [origin for entry in chunk for origin in entry.origins]
            # The one in whose turn a text leaves stands for all that wait for it.
            callers = {entry.share.caller for entry in chunk}
        if not chunk and not relied_on:
            return
        try:
            self._send({entry.key: entry.text for entry in chunk} | relied_on, origins, callers)
        except Exception as error:  # as above
            self._fail(chunk, error)

    def _fail(self, entries: Iterable[Entry[T]], error: Exception) -> None:
        with self._wake:
            failed = [entry for entry in entries if entry.state is not DONE]
            for entry in failed:
                self._entries.end(entry)
        for entry in failed:
            entry.future.set_exception(error)
