"""Callbacks: when a job has ended, or a stream has shifted, a callback_url is told, with retries.

Receivers may be slow, on purpose too: a worker tells many at the same time, few of one host and few of one API key,
and those of whoever has the fewest under way first.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from tasks.background import aside
from tasks.errors import CallbackRefused
from tasks.jobs.keys import CALLBACKS, job_key
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.scripts import load_script
from tasks.work.delivery import deliver, signed_headers

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


@dataclass(frozen=True, slots=True)
class Kind:
    """What callbacks tell of, and where what is known of them is kept."""

    name: str
    """What it is called in the log."""
    due_key: str
    """The key of the sorted set of their ids by the Unix time when they are due."""
    facts_key: Callable[[str], str]
    """The key of the hash with the fields `owner` and `callback_url`, and the state of the callback."""
    body: Callable[[str], tuple[str, bytes] | None]
    """The callback_url and the body to post; None if what it would tell of is gone."""
    headers: Callable[[str, str, int, bytes], dict[str, str]]
    """The headers that sign a body, by secret, id and time in Unix seconds."""


def ended_jobs(body: Callable[[str], tuple[str, bytes] | None]) -> Kind:
    """The callbacks of jobs. `body`: returns a job's callback_url and the body; None if it is gone or has none."""
    return Kind("job", CALLBACKS, job_key, body, signed_headers)


class Due(NamedTuple):
    """A callback that is due."""

    kind: Kind
    id: str
    owner: str | None
    """The name of the API key whose callback it is."""
    host: str | None
    """The host of its callback_url."""


class Callbacks:
    """Posts the callbacks that are due. Raises redis.RedisError when Redis is away; callbacks are then only delayed.

    Used by one thread; the attempts run on threads of their own.
    """

    TTL_S = 2 * 86_400
    """The TTL of the sets of those that are due, renewed with each claim; longer than the longest wait."""

    def __init__(
        self,
        client: Client,
        *,
        secret: Callable[[str | None], str | None],
        allow_private: bool,
        kinds: Sequence[Kind],
    ) -> None:
        """Makes no connection.

        Args:
            client: connected to the server of jobs and streams.
            secret: returns the secret that signs the callbacks of an API key, given by name. Without one every callback
                fails, as none is sent unsigned.
            allow_private: see `tasks.jobs.callback_url.check_url`.
            kinds: the kinds of callbacks that are posted.
        """
        self._client = client
        self._secret = secret
        self._allow_private = allow_private
        self._kinds = kinds
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
        waiting = [due for kind in self._kinds for due in self._look_up(kind, self._claimed(kind, now))]
        chosen = self._choose(waiting, free)
        for due in chosen:
            self._attempts[due] = aside("callback", partial(self._attempt, due, claimed_until=now + CLAIM_S))
        for kind in self._kinds:
            if later := [due.id for due in waiting if due.kind is kind and due not in self._attempts]:
                longest_s = 1.0 + len(later) / _SPREAD
                again_at: dict[bytes | str, float] = {one: now + random.uniform(1.0, longest_s) for one in later}
                self._client.zadd(kind.due_key, again_at, xx=True)
        return len(chosen)

    def _claimed(self, kind: Kind, now: float) -> list[str]:
        claimed = self._claim(keys=[kind.due_key], args=[now, now + CLAIM_S, self.TTL_S, _LOOK_AT])
        return [name_of(raw) for raw in claimed]

    def _collect(self) -> None:
        """Forgets attempts that have ended. Raises the error of one, if any has failed by one."""
        ended = [due for due, attempt in self._attempts.items() if attempt.done()]
        errors = [self._attempts.pop(due).exception() for due in ended]
        for error in filter(None, errors):
            raise error

    def _look_up(self, kind: Kind, ids: list[str]) -> list[Due]:
        """Whose the callbacks are and where they go; those of what is gone are dropped."""
        if not ids:
            return []
        pipe = self._client.pipeline(transaction=False)
        for one in ids:
            pipe.hmget(kind.facts_key(one), ["owner", "callback_url"])
        found, gone = [], []
        for one, (owner, url) in zip(ids, pipe.execute(), strict=True):
            if url is None:
                gone.append(one)
            else:
                found.append(Due(kind, one, name_of(owner) if owner is not None else None, _host(name_of(url))))
        if gone:
            self._client.zrem(kind.due_key, *gone)
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
        kind = due.kind
        told = kind.body(due.id)
        if told is None:
            self._client.zrem(kind.due_key, due.id)
            return
        state = self._post(due, *told)
        waits = [wait * random.uniform(0.8, 1.2) for wait in RETRIES_S]
        keys = [kind.due_key, kind.facts_key(due.id)]
        self._settle(keys=keys, args=[due.id, claimed_until, state, time.time(), *waits])

    def _post(self, due: Due, url: str, body: bytes) -> str:
        """Posts once; returns the callback's state, `pending` if another attempt may follow."""
        what = due.kind.name
        try:
            secret = self._secret(due.owner)
            if not secret:
                raise CallbackRefused("there is no secret to sign it with (CALLBACK_SECRET, CALLBACK_SECRETS).")
            sign = partial(due.kind.headers, secret, due.id)
            status = deliver(url, body, sign=sign, allow_private=self._allow_private)
        except CallbackRefused as error:
            _log.warning("callback of %s %s refused: %s", what, due.id, error)
            return "failed"
        except OSError as error:
            outcome = type(error).__name__
        else:
            if 200 <= status < 300:
                return "delivered"
            outcome = str(status)
        # Only the host, as the rest of the URL may contain a secret.
        _log.warning("callback of %s %s not accepted by %s: %s", what, due.id, due.host, outcome)
        return "failed" if outcome == "410" else "pending"


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
