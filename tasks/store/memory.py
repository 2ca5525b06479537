"""How full the memory of a Redis server is.

A server that evicts nothing refuses writes once its memory is full, those of running jobs and of the queues too. So
that these always have room, other writes stop earlier: each kind at a share of `maxmemory` of its own.
"""

from __future__ import annotations

import time
from typing import Any

import redis

from tasks.store.connections import Client

JOBS_SHARE = 0.75
"""From this share on no texts of jobs are taken in, and the predictions of jobs are not cached."""
CALLERS_SHARE = 0.9
"""From this share on no unknown texts of callers who wait are taken in. The rest is for what was taken in before."""
_FRESH_S = 0.2
"""Seconds before the server is asked again."""


class Memory:
    """The memory of one server, asked five times a second at the most. Raises redis.RedisError when it is away."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked_at = -1e9
        self._used_share = 0.0

    def has_room(self, share: float) -> bool:
        """Whether less than this share of the memory is used.

        Always if the server has no limit, evicts and so makes room by itself, or may not be asked by this user.
        """
        now = time.monotonic()
        if now - self._asked_at >= _FRESH_S:
            try:
                self._used_share = _used_share(self._client.info("memory"))
            except redis.exceptions.NoPermissionError:
                self._used_share = 0.0
            self._asked_at = now
        return self._used_share < share


def _used_share(info: dict[str, Any]) -> float:
    limit_bytes = int(info.get("maxmemory", 0))
    if not limit_bytes or info.get("maxmemory_policy") != "noeviction":
        return 0.0
    return (int(info["used_memory"]) - int(info.get("mem_not_counted_for_evict", 0))) / limit_bytes
