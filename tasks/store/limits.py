"""Rate limit and daily quota of callers, in texts, counted in Redis over all web processes.

A web process takes a small block of a caller's texts from Redis and spends it by itself, so that an answer from the
process's memory needs no round trip to be counted. Windows are fixed (a second, a minute, an hour, or a day in UTC) and
follow the clock of Redis. Within a window no more than the limit is let through; if several processes serve one caller,
it may be less by up to a block each. At the boundary of two windows, up to twice the limit may come close together.

    sentiq:l:<limit>:<caller>   the texts given out in the caller's present window, until that ends
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import redis

from tasks.errors import JobTooLarge, QuotaExceeded, RateLimited, SentimentError
from tasks.store.connections import Client
from tasks.store.scripts import load_script

T = TypeVar("T")

_LARGEST_BLOCK = 100
"""The most texts in a block. A round trip for each 100 texts costs next to nothing.

If a process dies, the rest of its blocks is lost to the callers."""
_CALLERS = 10_000
"""The number of callers that a process keeps in memory: those that asked most recently."""
_AGAIN_S = 1.0
"""Seconds before Redis is asked again after it was away, or after it refused a caller."""
_DAY_S = 86_400
_COUNTED_S = 1.0
"""Seconds for which the texts of a refused job are counted on, to tell how many they are."""
_COUNTED_AT_ONCE = 1000
"""Texts after which other greenlets of the web process get their turn."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller has left of a limit, as far as this process knows."""

    limit: int
    remaining: int
    reset_s: int
    """Seconds until the window ends."""


@dataclass(slots=True)
class _Lease:
    tokens: int = 0
    """Texts that this process may still let through without asking Redis."""
    left: int = 0
    """Texts that were left in Redis when it was last asked."""
    until: float = 0.0
    refused_until: float = 0.0
    # `threading.Lock` is looked up late: gevent may have replaced it since this module was imported.
    lock: threading.Lock = field(default_factory=lambda: threading.Lock())


class Limit:
    """A limit on the texts of each caller in each window.

    While Redis is away nothing is counted or refused: a limit must not cause an outage.
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
        """Starts with nothing counted.

        Args:
            client: of the Redis server that counts.
            name: the limit's name, part of its keys.
            amount: the most texts in a window.
            window_s: the length of a window in seconds.
            error: what is raised for too many texts.
            processes: the number of web processes that share the limit on this machine: more make smaller blocks.
        """
        self._take = load_script(client, "tasks.store", "limit_take")
        self._give_back = load_script(client, "tasks.store", "limit_give_back")
        self._name = name
        self._amount = amount
        self._window_s = window_s
        self._block = max(1, min(amount // (20 * processes), _LARGEST_BLOCK))
        self._error = error
        self._leases: OrderedDict[str, _Lease] = OrderedDict()
        self._open_until = 0.0

    def take(self, caller: str, texts: int = 1, *, counted: int = 0) -> Standing:
        """Counts texts of a caller. A request with more texts than the limit costs the limit, or it could never pass.

        Args:
            caller: the name of the caller.
            texts: the texts.
            counted: further texts of the same request, which were counted before.

        Raises:
            RateLimited, QuotaExceeded: the caller has too few left; the error says when to come back.
        """
        cost = min(texts, self._amount - counted)
        lease = self._leases.get(caller)
        if lease is None:
            lease = self._leases[caller] = _Lease()
            if len(self._leases) > _CALLERS:
                self._leases.popitem(last=False)
        else:
            self._leases.move_to_end(caller)
        with lease.lock:  # held during the round trip: requests that come meanwhile spend the same block
            now = time.monotonic()
            if now >= lease.until:
                lease.tokens = lease.left = 0
            if lease.tokens < cost:
                if now < lease.refused_until:
                    raise self._refusal(texts, lease, now)
                if now < self._open_until or not self._renew(lease, caller, cost - lease.tokens, now):
                    return Standing(self._amount, self._amount, self._window_s)
                if lease.tokens < cost:
                    if lease.left <= 0:  # otherwise a request with fewer texts may still pass
                        lease.refused_until = min(now + _AGAIN_S, lease.until)
                    raise self._refusal(texts, lease, now)
            lease.tokens -= cost
            return Standing(self._amount, lease.left + lease.tokens, self._seconds(lease.until - now))

    def _renew(self, lease: _Lease, caller: str, needed: int, now: float) -> bool:
        """Takes a block, if as many texts are left as are needed; False if Redis is away."""
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
        lease.tokens += given
        return True

    def _refusal(self, texts: int, lease: _Lease, now: float) -> RateLimited | QuotaExceeded:
        return self._error(
            texts,
            left=lease.tokens + lease.left,
            limit=self._amount,
            window_s=self._window_s,
            retry_after_s=self._seconds(lease.until - now),
        )

    def give_back(self, caller: str, texts: int) -> None:
        """Subtracts texts that were counted but not accepted."""
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
    """Counts the texts of one job towards the daily quota while they come in."""

    def __init__(self, limits: Limits, caller: str, *, paid: int = 0) -> None:
        """`paid`: the number of texts that were counted before, and that are not given back."""
        self._limits = limits
        self._caller = caller
        self._paid = paid
        self._texts = 0
        self._entries = 0

    def counted(self, entries: Iterable[T], charge: Callable[[T], int] = lambda entry: 1) -> Iterator[T]:
        """Yields each entry after counting it. `charge`: as how many texts it counts.

        Raises:
            QuotaExceeded: the job has more than are left for the day.
            JobTooLarge: it has more than any day allows.
        """
        coming = iter(entries)
        charged = 0
        for entry in coming:
            before = max(charged, self._paid)
            charged += charge(entry)
            if charged > before:
                try:
                    self._limits.take(self._caller, rate=0, quota=charged - before)
                except QuotaExceeded as refused:
                    raise self._refusal(refused, charged, coming, charge) from None
                self._texts += charged - before
            self._entries += 1
            yield entry

    def _refusal(
        self, refused: QuotaExceeded, texts: int, coming: Iterator[T], charge: Callable[[T], int]
    ) -> SentimentError:
        """Tells whether the job would fit into another day, for which the rest of it is counted, if it comes soon."""
        until = time.monotonic() + _COUNTED_S
        whole = False
        more = 0
        while texts <= refused.limit and not whole and time.monotonic() < until:
            found = list(islice(coming, 1))
            whole = not found
            texts += sum(map(charge, found))
            more += 1
            if more % _COUNTED_AT_ONCE == 0:
                time.sleep(0)
        if texts > refused.limit:
            return JobTooLarge.for_a_day(refused.limit)
        return QuotaExceeded(
            texts if whole else f"more than {texts - 1}",
            left=refused.left + self._texts,  # those of this job are given back
            limit=refused.limit,
            window_s=_DAY_S,
            retry_after_s=refused.retry_after_s,
            of="job",
        )

    def cancel(self, used: int = 0) -> None:
        """Gives the texts back, as no job was made of them, except those that were used: scored, or read.

        `used` is a number of entries; if entries count as more than one text, those count as the others do on average.
        """
        counted = self._texts + self._paid
        if used and self._entries < counted:
            used = -(-used * counted // max(1, self._entries))
        self._limits.give_back(self._caller, max(0, self._texts - max(0, used - self._paid)))
        self._texts = self._entries = 0


class Limits:
    """The two limits of a caller, RATE_LIMIT and DAILY_QUOTA; either may be off."""

    def __init__(self, rate: Limit | None, quota: Limit | None) -> None:
        self._rate = rate
        self._quota = quota

    def take(self, caller: str, *, rate: int, quota: int, rate_counted: int = 0) -> Standing | None:
        """Counts texts of a caller towards both limits; returns the standing in the one with less left.

        Args:
            caller: the name of the caller.
            rate: the texts that count towards RATE_LIMIT.
            quota: the texts that count towards DAILY_QUOTA.
            rate_counted: further texts of the same request that were counted towards RATE_LIMIT before.

        Raises:
            RateLimited, QuotaExceeded: the caller has too few left.
        """
        fast = self._rate.take(caller, rate, counted=rate_counted) if self._rate is not None and rate else None
        slow = self._quota.take(caller, quota) if self._quota is not None and quota else None
        return slow if fast is None or (slow is not None and slow.remaining < fast.remaining) else fast

    def give_back(self, caller: str, texts: int) -> None:
        """Subtracts texts that were not accepted from the quota. The rate limit's windows are too short to matter."""
        if self._quota is not None and texts:
            self._quota.give_back(caller, texts)


def limits_of(
    client: Client, *, rate: tuple[int, int] | None, daily_quota: int | None, processes: int
) -> Limits | None:
    """The limits that are set; None if neither is.

    Args:
        client: of the Redis server that counts; one that does not evict keys.
        rate: the most texts in a window, and its length in seconds.
        daily_quota: the most texts in a day.
        processes: see `Limit`.
    """
    if rate is None and daily_quota is None:
        return None
    return Limits(
        Limit(client, "rate", *rate, RateLimited, processes=processes) if rate is not None else None,
        Limit(client, "day", daily_quota, _DAY_S, QuotaExceeded, processes=processes)
        if daily_quota is not None
        else None,
    )
