"""Keeps a chunk its worker's for as long as the worker lives.

The broker delivers a chunk again when it stays unacknowledged for the visibility timeout, which is short, so that a
dead worker's chunks are soon taken over. A living worker on a starved machine may need longer: it renews the time stamp
under which kombu filed the delivery, so that slowness is never taken for death.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tasks.background import Loop
from tasks.queue.queues import UNACKED_INDEX
from tasks.store.connections import Client

_AHEAD_S = 60.0
"""A delivery filed so far in the future was filed before a clock was set back, and would be its dead worker's until
then.
"""


class Leases:
    """Renews the deliveries that are held. `client` is the broker's."""

    def __init__(self, client: Client, *, period_s: float) -> None:
        self._client = client
        self.loop = Loop("leases", self.renew, period_s=period_s, expected=(redis.RedisError,))
        self._tags: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def held(self, delivery_tag: str | None) -> Iterator[None]:
        """Renews this delivery inside the block. Without a tag (a task called in place) there is nothing to renew."""
        if delivery_tag is None:
            yield
            return
        with self._lock:
            self._tags.add(delivery_tag)
        try:
            yield
        finally:
            with self._lock:
                self._tags.discard(delivery_tag)

    def renew(self) -> None:
        """Files every held delivery under the present time; one that has been acknowledged or restored meanwhile stays
        gone.

        So is anybody's that is filed under a time to come.
        """
        with self._lock:
            tags: list[str | bytes] = list(self._tags)
        now = time.time()
        tags += self._client.zrangebyscore(UNACKED_INDEX, now + _AHEAD_S, "+inf")
        if tags:
            self._client.zadd(UNACKED_INDEX, dict.fromkeys(tags, now), xx=True)
