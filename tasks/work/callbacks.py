"""Callbacks: when a job has ended, its callback_url is told, with retries.

Receivers may be slow, on purpose too: a worker tells many at the same time, few of one host and few of one API key's
jobs, and those of whoever has the fewest under way first.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.background import aside
from tasks.errors import CallbackRefused
from tasks.jobs.keys import CALLBACKS, job_key
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.scripts import load_script
from tasks.work.delivery import deliver

RETRIES_S = (5, 30, 120, 600, 1800, 3600, 7200)
"""The waits in seconds, give or take a fifth, after each failed attempt but the last."""
CLAIM_S = 60
"""Seconds until a claimed callback is due again if its worker dies; much longer than one attempt takes."""
AT_ONCE = 16
"""The most attempts of one worker that are under way at once."""
OF_A_HOST = 4
OF_A_KEY = 8
_LOOK_AT = 1000
"""The most due callbacks among which a round chooses."""
_SPREAD = 50
"""How many of those that have to wait are due again in each second."""

_log = logging.getLogger(__name__)


class Due(NamedTuple):
    """A callback that is due."""

    job_id: str
    owner: str | None
    """The name of the API key that made the job."""
    host: str | None
    """The host of its callback_url."""


class Callbacks:
    """Posts the callbacks that are due. Raises redis.RedisError when Redis is away; callbacks are then only delayed.

    Used by one thread; the attempts run on threads of their own.
    """

    KEY = CALLBACKS
    """The key of the sorted set of job ids by the Unix time when their callbacks are due."""
    TTL_S = 2 * 86_400
    """The TTL of that set, renewed with each claim; longer than the longest wait."""

    def __init__(
        self,
        client: Client,
        *,
        secret: Callable[[str | None], str | None],
        allow_private: bool,
        body: Callable[[str], tuple[str, bytes] | None],
    ) -> None:
        """Makes no connection.

        Args:
            client: connected to the server of the jobs.
            secret: returns the secret that signs the callbacks of an API key, given by name. Without one every callback
                fails, as none is sent unsigned.
            allow_private: see `tasks.jobs.callback_url.check_url`.
            body: returns a job's callback_url and the body to post; None if the job is gone or has no callback.
        """
        self._client = client
        self._secret = secret
        self._allow_private = allow_private
        self._body = body
        self._claim = load_script(client, "tasks.work", "callback_claim")
        self._settle = load_script(client, "tasks.work", "callback_settle")
        self._attempts: dict[Due, Future[None]] = {}

    @property
    def under_way(self) -> int:
        """The number of attempts that have begun and not ended."""
        return sum(not attempt.done() for attempt in self._attempts.values())

    def run_due(self) -> int:
        """Begins attempts at callbacks that are due; returns their number.

        Raises:
            redis.RedisError: Redis is away, or was at the end of an earlier attempt.
        """
        self._collect()
        free = AT_ONCE - len(self._attempts)
        if not free:
            return 0
        now = time.time()
        ids = [name_of(raw) for raw in self._claim(keys=[self.KEY], args=[now, now + CLAIM_S, self.TTL_S, _LOOK_AT])]
        waiting = self._look_up(ids)
        chosen = self._choose(waiting, free)
        for due in chosen:
            self._attempts[due] = aside("callback", partial(self._attempt, due, claimed_until=now + CLAIM_S))
        if later := [due.job_id for due in waiting if due not in self._attempts]:
            longest_s = 1.0 + len(later) / _SPREAD
            self._client.zadd(self.KEY, {job_id: now + random.uniform(1.0, longest_s) for job_id in later}, xx=True)
        return len(chosen)

    def _collect(self) -> None:
        """Forgets attempts that have ended. Raises the error of one, if any has failed by one."""
        ended = [due for due, attempt in self._attempts.items() if attempt.done()]
        errors = [self._attempts.pop(due).exception() for due in ended]
        for error in filter(None, errors):
            raise error

    def _look_up(self, ids: list[str]) -> list[Due]:
        """Whose the callbacks are and where they go; those of jobs that are gone are dropped."""
        if not ids:
            return []
        pipe = self._client.pipeline(transaction=False)
        for job_id in ids:
            pipe.hmget(job_key(job_id), ["owner", "callback_url"])
        found, gone = [], []
        for job_id, (owner, url) in zip(ids, pipe.execute(), strict=True):
            if url is None:
                gone.append(job_id)
            else:
                found.append(Due(job_id, name_of(owner) if owner is not None else None, _host(name_of(url))))
        if gone:
            self._client.zrem(self.KEY, *gone)
        return found

    def _choose(self, waiting: Iterable[Due], free: int) -> list[Due]:
        """Those to begin with now: of whoever has the fewest under way, then whichever is due first."""
        owners = Counter(due.owner for due in self._attempts)
        hosts = Counter(due.host for due in self._attempts)
        candidates, chosen = [due for due in waiting if due not in self._attempts], list[Due]()
        while len(chosen) < free:
            candidates = [
                due
                for due in candidates
                if hosts[due.host] < OF_A_HOST and (due.owner is None or owners[due.owner] < OF_A_KEY)
            ]
            if not candidates:
                break
            best = min(candidates, key=lambda due: (owners[due.owner], hosts[due.host]))
            candidates.remove(best)
            chosen.append(best)
            owners[best.owner] += 1
            hosts[best.host] += 1
        return chosen

    def _attempt(self, due: Due, *, claimed_until: float) -> None:
        """Makes one attempt and notes what came of it."""
        told = self._body(due.job_id)
        if told is None:
            self._client.zrem(self.KEY, due.job_id)
            return
        state = self._post(due, *told)
        waits = [wait * random.uniform(0.8, 1.2) for wait in RETRIES_S]
        self._settle(keys=[self.KEY, job_key(due.job_id)], args=[due.job_id, claimed_until, state, time.time(), *waits])

    def _post(self, due: Due, url: str, body: bytes) -> str:
        """Posts once; returns the callback's state, `pending` if another attempt may follow."""
        job_id = due.job_id
        try:
            secret = self._secret(due.owner)
            if not secret:
                raise CallbackRefused("there is no secret to sign it with (CALLBACK_SECRET, CALLBACK_SECRETS).")
            status = deliver(url, body, job_id=job_id, secret=secret, allow_private=self._allow_private)
        except CallbackRefused as error:
            _log.warning("callback of job %s refused: %s", job_id, error)
            return "failed"
        except OSError as error:
            outcome = type(error).__name__
        else:
            if 200 <= status < 300:
                return "delivered"
            outcome = str(status)
        # Only the host, as the rest of the URL may contain a secret.
        _log.warning("callback of job %s not accepted by %s: %s", job_id, due.host, outcome)
        return "failed" if outcome == "410" else "pending"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
