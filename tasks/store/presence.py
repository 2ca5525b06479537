"""Worker marks: which workers are ready, with what model, and how fast. A mark expires unless its worker renews it.

sentiq:worker:<worker id>   a worker mark, for MARK_TTL_S
sentiq:w:<worker id>        the same in the form of the version before
sentiq:workers              the ids of all workers that have marks; some may have expired
sentiq:m:<model tag>        the identity of the model that this tag stands for now
sentiq:webs                 the web processes that were busy lately, by time; of a named model `sentiq:webs@<name>`
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import redis

from model.description import Description
from tasks.store.client import Value, name_of
from tasks.store.connections import Client
from tasks.store.full import suppressed_refusal
from tasks.store.scripts import load_script
from tasks.wire import FormatError, WorkerMark, read_mark, write_mark, write_mark_before

MARK_TTL_S = 10
REFRESH_S = 2.0
INDEX = "sentiq:workers"
_AWAY_S = 0.25
"""Seconds before Redis is asked again after it did not answer; requests before that fail at once."""
WEBS = "sentiq:webs"
_WEB_TTL_S = 10
"""Seconds without work after which a web process no longer counts as busy."""
_WEBS_TTL_S = 60
_INDEX_TTL_S = 86_400
_MOST_DESCRIBED = 1000
_IDENTITY_TTL_S = 7 * 86_400
"""Seconds that a model's identity is remembered: long, so that cached texts are answered while all workers are away."""


_log = logging.getLogger(__name__)


def mark_keys(worker_id: str) -> tuple[str, str]:
    """The keys of a worker's mark: that of this version, and that of the version before."""
    return f"sentiq:worker:{worker_id}", f"sentiq:w:{worker_id}"


def marks_of(workers: Iterable[tuple[str, bytes | None, bytes | None]]) -> list[WorkerMark]:
    """Reads worker marks from each worker's id and the values at its `mark_keys`; leaves out unreadable ones."""
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
    """Logs this once for each worker, as marks are read every second."""
    _log.warning("worker %s is ignored: %s", worker_id, why)


class Presence:
    """Announces a worker, and lists the workers that are ready. Raises redis.RedisError when the server is away."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.described: dict[str, Description] = {}
        """What ready workers have told of their models, by identity, when they were last listed or before."""
        self._announce = load_script(client, "tasks.store", "presence_announce")
        self._webs = load_script(client, "tasks.store", "presence_webs")

    def announce(self, mark: WorkerMark) -> None:
        """Marks the worker as ready for MARK_TTL_S seconds; the model of an interactive worker is what callers get."""
        keys = [*mark_keys(mark.id), INDEX]
        if mark.role == "interactive":
            keys.append(f"sentiq:m:{mark.tag}")
        args: list[Value] = [mark.id, write_mark(mark), write_mark_before(mark), MARK_TTL_S, _INDEX_TTL_S]
        self._announce(keys=keys, args=[*args, mark.model, _IDENTITY_TTL_S])

    def withdraw(self, mark: WorkerMark) -> None:
        """Deletes the mark of a worker that is about to stop."""
        pipe = self._client.pipeline(transaction=False)
        pipe.delete(*mark_keys(mark.id))
        pipe.srem(INDEX, mark.id)
        pipe.execute()

    def ready(self) -> list[WorkerMark]:
        """The marks of the workers that are ready, by the time of their start."""
        ids = sorted(name_of(member) for member in self._client.smembers(INDEX))
        if not ids:
            return []
        values = self._client.mget([key for worker_id in ids for key in mark_keys(worker_id)])
        workers = list(zip(ids, values[::2], values[1::2], strict=True))
        if gone := [worker_id for worker_id, *marks in workers if not any(marks)]:
            with suppressed_refusal():
                self._client.srem(INDEX, *gone)
        marks = sorted(marks_of(workers), key=lambda mark: mark.started_at)
        self._remember(marks)
        return marks

    def _remember(self, marks: Iterable[WorkerMark]) -> None:
        if len(self.described) > _MOST_DESCRIBED:
            self.described.clear()
        self.described |= {mark.model: mark.description for mark in marks if mark.description is not None}

    def webs(self, me: str, key: str = WEBS) -> int:
        """Notes that the web process `me` is busy; returns how many are, or 1 if Redis has no room for that."""
        with suppressed_refusal():
            return int(self._webs(keys=[key], args=[me, time.time(), _WEB_TTL_S, _WEBS_TTL_S]))
        return 1

    def identity(self, tag: str) -> str | None:
        """The identity of the model that this tag stands for, now or most recently; None until a worker was ready."""
        value = self._client.get(f"sentiq:m:{tag}")
        return name_of(value) if value is not None else None


class KnownModel:
    """What a web process knows about a model's workers; Redis is asked at most once in `max_age_s` seconds."""

    def __init__(
        self, presence: Presence, tag: str, *, max_age_s: float = 1.0, me: str | None = None, webs: str = WEBS
    ) -> None:
        """Asks nothing yet.

        Args:
            presence: lists the workers.
            tag: the model tag.
            max_age_s: seconds after which Redis is asked again.
            me: a unique name of this web process, by which it is counted among all that are busy with the model.
            webs: the key under which they are counted.
        """
        self._presence = presence
        self._me = me
        self._webs_key = webs
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
            # One thread asks while the others use what is known. Not before the first answer: until then, nothing known
            # does not mean that there is no model.
            if self._answered:
                self._asked_at = time.monotonic()
        try:
            identity = self._presence.identity(self._tag)
            marks = [mark for mark in self._presence.ready() if mark.tag == self._tag]
            webs = self._presence.webs(self._me, self._webs_key) if self._me is not None else 1
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
        """The model identity to look cached predictions up under; None if no worker was ever ready."""
        self._refresh()
        return self._identity

    @property
    def remembered(self) -> str | None:
        """Like `identity`, but the last known one while Redis is away, so that texts in memory are still answered."""
        try:
            self._refresh()
        except redis.RedisError:
            if self._identity is None:
                raise
        return self._identity

    @property
    def served(self) -> bool:
        """Whether any worker is ready with the model."""
        self._refresh()
        return bool(self._workers)

    def texts_per_s(self, role: str) -> float:
        """The latest rate of a worker of this role, in texts that cost 1; a cautious guess until one is known."""
        return self._rates.get(role, 50.0)

    def share(self, role: str) -> float:
        """The number of workers of this role for each busy web process, when last asked."""
        return max(1, self._workers[role]) / self._webs

    def ready(self, role: str) -> int:
        """Like `workers`, but asks if the last answer is old; that answer if Redis is away."""
        with contextlib.suppress(redis.RedisError):
            self._refresh()
        return self._workers[role]

    def workers(self, role: str) -> int:
        """The number of workers of this role that were ready when last asked."""
        return self._workers[role]
