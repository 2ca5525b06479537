"""Which workers are ready, with what model, and how fast: told by each worker, expiring when it no longer tells.

sentiq:worker:<worker id>   one worker's mark, MARK_TTL_S
sentiq:w:<worker id>        the same as the version before reads it
sentiq:workers              the ids of all marks, some perhaps gone
sentiq:m:<model tag>        the identity that answers to this model name now
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import redis

from tasks.store.connections import Client
from tasks.wire import FormatError, WorkerMark, read_mark, write_mark, write_mark_before

MARK_TTL_S = 10
REFRESH_S = 2.0
INDEX = "sentiq:workers"
_AWAY_S = 0.25
"""After so long a Redis that did not answer is asked again: whoever comes before that is told at once."""
WEBS = "sentiq:webs"
_WEB_TTL_S = 10
"""A web process that has had nothing to do for so long is not counted."""
_IDENTITY_TTL_S = 7 * 86_400
"""Long, so that known texts are answered while every worker is away."""


_log = logging.getLogger(__name__)


def mark_keys(worker_id: str) -> tuple[str, str]:
    """Where a worker's mark is, and where the version before looks for it and leaves its own."""
    return f"sentiq:worker:{worker_id}", f"sentiq:w:{worker_id}"


def marks_of(workers: Iterable[tuple[str, bytes | None, bytes | None]]) -> list[WorkerMark]:
    """The marks of workers, given each one's id and what is at its `mark_keys`. One that cannot be read is left out."""
    marks = []
    for worker_id, mark, mark_before in workers:
        if (raw := mark or mark_before) is not None:
            try:
                marks.append(read_mark(raw))
            except FormatError as error:
                _left_out(worker_id, str(error))
    return marks


@lru_cache(1000)
def _left_out(worker_id: str, why: str) -> None:
    """Says so once for each worker: marks are looked at every second."""
    _log.warning("worker %s is ignored: %s", worker_id, why)


class Presence:
    """Announces a worker, and lists those that are ready. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def announce(self, mark: WorkerMark) -> None:
        """Says that the worker is ready, for MARK_TTL_S seconds; an interactive worker's model is the one that callers
        get.
        """
        pipe = self._client.pipeline(transaction=False)
        key, key_before = mark_keys(mark.id)
        pipe.set(key, write_mark(mark), ex=MARK_TTL_S)
        pipe.set(key_before, write_mark_before(mark), ex=MARK_TTL_S)
        pipe.sadd(INDEX, mark.id)
        pipe.expire(INDEX, 86_400)
        if mark.role == "interactive":
            pipe.set(f"sentiq:m:{mark.tag}", mark.model, ex=_IDENTITY_TTL_S)
        pipe.execute()

    def withdraw(self, mark: WorkerMark) -> None:
        """The worker is about to stop."""
        pipe = self._client.pipeline(transaction=False)
        pipe.delete(*mark_keys(mark.id))
        pipe.srem(INDEX, mark.id)
        pipe.execute()

    def ready(self) -> list[WorkerMark]:
        """The workers whose marks have not expired, by their start."""
        ids = sorted(member.decode() for member in self._client.smembers(INDEX))
        if not ids:
            return []
        values = self._client.mget([key for worker_id in ids for key in mark_keys(worker_id)])
        workers = list(zip(ids, values[::2], values[1::2], strict=True))
        if gone := [worker_id for worker_id, *marks in workers if not any(marks)]:
            self._client.srem(INDEX, *gone)
        return sorted(marks_of(workers), key=lambda mark: mark.started_at)

    def webs(self, me: str) -> int:
        """How many web processes are busy; this one says that it is."""
        now = time.time()
        pipe = self._client.pipeline(transaction=False)
        pipe.zadd(WEBS, {me: now})
        pipe.zremrangebyscore(WEBS, 0, now - _WEB_TTL_S)
        pipe.zcard(WEBS)
        pipe.expire(WEBS, 60)
        return int(pipe.execute()[2])

    def identity(self, tag: str) -> str | None:
        """The model that answers to this name now, or did last; None before any worker was ready."""
        value = self._client.get(f"sentiq:m:{tag}")
        return value.decode() if value is not None else None


class KnownModel:
    """What a web process knows of the workers, asked for at most once a second."""

    def __init__(self, presence: Presence, tag: str, *, max_age_s: float = 1.0, me: str | None = None) -> None:
        """`me`: a name of this web process's own, by which it is counted among all."""
        self._presence = presence
        self._me = me
        self._webs = 1
        self._tag = tag
        self._max_age_s = max_age_s
        self._lock = threading.Lock()
        self._identity: str | None = None
        self._rates: dict[str, float] = {}
        self._workers: Counter[str] = Counter()
        self._asked_at = -1e9
        self._answered = False
        self._away: tuple[float, redis.RedisError] | None = None

    def _refresh(self) -> None:
        with self._lock:
            if self._away is not None and time.monotonic() - self._away[0] < _AWAY_S:
                raise self._away[1]
            if time.monotonic() - self._asked_at < self._max_age_s:
                return
            # One asks, and the others go on with what is known; but before the first answer "nothing asked yet" is not
            # "no model".
            if self._answered:
                self._asked_at = time.monotonic()
        try:
            identity = self._presence.identity(self._tag)
            marks = [mark for mark in self._presence.ready() if mark.tag == self._tag]
            webs = self._presence.webs(self._me) if self._me is not None else 1
        except redis.RedisError as error:
            self._away = (time.monotonic(), error)
            self._asked_at = -1e9
            raise
        self._away = None
        self._identity = identity
        self._rates |= {mark.role: mark.texts_per_s for mark in marks}
        self._workers = Counter(mark.role for mark in marks)
        self._webs = webs
        self._answered, self._asked_at = True, time.monotonic()

    @property
    def identity(self) -> str | None:
        """The model identity that cached predictions are looked up under; None if no worker was ever ready."""
        self._refresh()
        return self._identity

    @property
    def remembered(self) -> str | None:
        """As `identity`; the last that was known while Redis is away, so that what is in memory goes on being
        answered.
        """
        try:
            self._refresh()
        except redis.RedisError:
            if self._identity is None:
                raise
        return self._identity

    def texts_per_s(self, role: str) -> float:
        """The last rate that a worker of this role told; a cautious guess before that."""
        return self._rates.get(role, 50.0)

    def share(self, role: str) -> float:
        """Workers of this role for each web process that is busy, as when last asked."""
        return max(1, self._workers[role]) / self._webs

    def workers(self, role: str) -> int:
        """The workers of this role that were ready when last asked."""
        return self._workers[role]
