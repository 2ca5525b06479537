"""Renews a worker's hold on its chunks, so that they are not redelivered while the worker lives.

The broker delivers a chunk again if it is not acknowledged within the visibility timeout, which is short so that a dead
worker's chunks are soon redelivered. A live worker on an overloaded machine may take longer. It therefore renews the
time under which kombu filed the delivery, so that a slow worker is not mistaken for a dead one.
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
"""Seconds: a delivery filed further in the future dates from before the clock was set back.

Without a correction, it would not be redelivered until that time."""


class Leases:
    """Renews the deliveries that this worker holds. `client`: connected to the broker."""

    def __init__(self, client: Client, *, period_s: float) -> None:
        self._client = client
        self.loop = Loop("leases", self.renew, period_s=period_s, expected=(redis.RedisError,))
        self._tags: set[str] = set()
        self._lock = threading.Lock()

    @contextmanager
    def held(self, delivery_tag: str | None) -> Iterator[None]:
        """Renews a delivery while the block runs. Without a tag (a task called directly) there is nothing to renew."""
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
        """Files every held delivery under the present time, except those acknowledged or restored meanwhile.

        Deliveries of any worker that are filed far in the future are corrected, too.
        """
        with self._lock:
            tags: list[str | bytes] = list(self._tags)
        now = time.time()
        tags += self._client.zrangebyscore(UNACKED_INDEX, now + _AHEAD_S, "+inf")
        if tags:
            self._client.zadd(UNACKED_INDEX, dict.fromkeys(tags, now), xx=True)
