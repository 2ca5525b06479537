"""Rate limit and daily quota of callers, in texts, counted in Redis over all web processes.

A process takes a small block of a caller's texts from Redis at once and spends it itself: so an answer from the
process's own memory needs no round trip for being counted. Windows are fixed (a second, a minute, an hour; a day, in
UTC), on the clock of Redis: never more than the limit is let through in one, and where several processes serve one
caller, up to a block each less. Across the seam of two windows twice the limit may come close together.

    sentiq:l:<limit>:<caller>   what was given out in its present window, until that ends
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import redis

from tasks.errors import QuotaExceeded, RateLimited
from tasks.settings import Settings
from tasks.store.connections import Client, connect
from tasks.store.scripts import load_script

T = TypeVar("T")

_LARGEST_BLOCK = 100
"""Texts. With it, a round trip is a hundredth of the work; what a process that dies had not spent is lost to the
caller.
"""
_CALLERS = 10_000
"""So many are kept in a process's memory, those that asked last."""
_AGAIN_S = 1.0
"""After so long Redis is asked again, should it have been away, or for a caller whom it has refused."""
_TIMEOUT_S = 0.5
_DAY_S = 86_400

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller has left of a limit, as this process knows it."""

    limit: int
    remaining: int
    reset_s: int
    """Seconds until the window ends."""


@dataclass(slots=True)
class _Lease:
    tokens: int = 0
    left: int = 0
    """In Redis, when it was last asked."""
    until: float = 0.0
    refused_until: float = 0.0
    # Looked up when it is made: gevent may have put its own there since this module was imported.
    lock: threading.Lock = field(default_factory=lambda: threading.Lock())


class Limit:
    """So many texts of each caller in each window. With Redis away nothing is counted or refused: a limit must not be
    an outage.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        amount: int,
        window_s: int,
        error: type[RateLimited | QuotaExceeded],
        *,
        processes: int,
    ) -> None:
        """`processes`: that share the limit on this machine; the more, the smaller the blocks."""
        self._take = load_script(client, "tasks.store", "limit_take")
        self._give_back = load_script(client, "tasks.store", "limit_give_back")
        self._name = name
        self._amount = amount
        self._window_s = window_s
        self._block = max(1, min(amount // (20 * processes), _LARGEST_BLOCK))
        self._error = error
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._open_until = 0.0

    def take(self, caller: str, texts: int = 1) -> Standing:
        """Counts texts of a caller. More than the limit at once cost the limit: else they could never come.

        Raises:
            RateLimited, QuotaExceeded: the caller has too few left; says when to come back.
        """
        cost = min(texts, self._amount)
        lease = self._leases.get(caller)
        if lease is None:
            lease = self._leases[caller] = _Lease()
            if len(self._leases) > _CALLERS:
                self._leases.popitem(last=False)
        else:
            self._leases.move_to_end(caller)
        with lease.lock:  # held over the round trip: who comes meanwhile spends the same block
            now = time.monotonic()
            if now >= lease.until:
                lease.tokens = lease.left = 0
            if lease.tokens < cost:
                if now < lease.refused_until:
                    raise self._error(self._seconds(lease.until - now))
                if now < self._open_until or not self._renew(lease, caller, cost - lease.tokens, now):
                    return Standing(self._amount, self._amount, self._window_s)
            lease.tokens -= cost
            return Standing(self._amount, lease.left + lease.tokens, self._seconds(lease.until - now))

    def _renew(self, lease: _Lease, caller: str, needed: int, now: float) -> bool:
        """Takes a block; False if Redis is away."""
        try:
            answer = self._take(
                keys=[self._key(caller)], args=[needed, self._block, self._amount, self._window_s * 1000]
            )
        except redis.RedisError as error:
            _log.warning("Redis away: %s limit not counted (%s)", self._name, type(error).__name__)
            self._open_until = now + _AGAIN_S
            return False
        given, lease.left, ends_ms = map(int, answer)
        lease.until = now + ends_ms / 1000
        if not given:
            if lease.left <= 0:  # else fewer texts may still pass
                lease.refused_until = min(now + _AGAIN_S, lease.until)
            raise self._error(self._seconds(ends_ms / 1000))
        lease.tokens += given
        return True

    def give_back(self, caller: str, texts: int) -> None:
        """Texts that were counted and came to nothing."""
        if (lease := self._leases.get(caller)) is not None:
            lease.refused_until = 0.0
        try:
            self._give_back(keys=[self._key(caller)], args=[texts])
        except redis.RedisError:
            _log.warning("Redis away: texts not given back")

    def _key(self, caller: str) -> str:
        return f"sentiq:l:{self._name}:{caller}"

    @staticmethod
    def _seconds(seconds: float) -> int:
        return max(1, math.ceil(seconds))


class Bill:
    """Texts of one job, counted while they come in."""

    def __init__(self, limits: Limits, caller: str) -> None:
        self._limits = limits
        self._caller = caller
        self._texts = 0

    def counted(self, entries: Iterable[T]) -> Iterator[T]:
        """The entries, each once it is counted. Raises QuotaExceeded."""
        for entry in entries:
            self._limits.take(self._caller, rate=0, quota=1)
            self._texts += 1
            yield entry

    def cancel(self) -> None:
        """No job came of them."""
        self._limits.give_back(self._caller, self._texts)
        self._texts = 0


class Limits:
    """RATE_LIMIT and DAILY_QUOTA; either may be off."""

    def __init__(self, rate: Limit | None, quota: Limit | None) -> None:
        self._rate = rate
        self._quota = quota

    def take(self, caller: str, *, rate: int, quota: int) -> Standing | None:
        """Counts so many texts of a caller on either; returns the standing of the one that ends first.

        Raises:
            RateLimited, QuotaExceeded: nothing is left.
        """
        fast = self._rate.take(caller, rate) if self._rate is not None and rate else None
        slow = self._quota.take(caller, quota) if self._quota is not None and quota else None
        return slow if fast is None or (slow is not None and slow.remaining < fast.remaining) else fast

    def give_back(self, caller: str, texts: int) -> None:
        """Texts of the quota that came to nothing. The rate's windows are too short to care."""
        if self._quota is not None and texts:
            self._quota.give_back(caller, texts)


def limits_of(settings: Settings) -> Limits | None:
    """The limits that are set, counted where jobs are: that server does not evict keys. None if there are none."""
    if settings.rate is None and settings.daily_quota is None:
        return None
    client = connect(settings.results_url, timeout_s=_TIMEOUT_S)
    processes = settings.web_concurrency
    rate = quota = None
    if settings.rate is not None:
        rate = Limit(client, "rate", *settings.rate, RateLimited, processes=processes)
    if settings.daily_quota is not None:
        quota = Limit(client, "day", settings.daily_quota, _DAY_S, QuotaExceeded, processes=processes)
    return Limits(rate, quota)
