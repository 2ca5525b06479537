"""Keeps a worker alive when the broker's connection drops while a chunk is unacknowledged.

Celery 5.7.0 closes the consumer's connection twice. The second time, kombu 5.7.0's `Channel._connparams` reads
`hostname` of a client that is None, and the AttributeError ends the worker. If it raises redis.ConnectionError instead,
Celery treats it as an ordinary lost connection and reconnects.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport.redis import Channel

original = Channel._connparams


def _connparams(self: Any, asynchronous: bool = False) -> Any:
    if self.connection is None or self.connection.client is None:
        raise redis.ConnectionError("the connection was closed")
    return original(self, asynchronous)


def install() -> None:
    """Installs the patch."""
    Channel._connparams = _connparams
