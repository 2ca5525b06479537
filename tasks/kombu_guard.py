"""What kombu 5.7.0 lacks: a guard, and an economy.

The guard keeps a worker alive when the broker's connection drops while a chunk is unacknowledged.

Celery 5.7.0 closes the consumer's connection twice; the second time kombu 5.7.0's `Channel._connparams` reads `hostname` of a
client that is None, and the AttributeError ends the worker. As redis.ConnectionError the same event is an ordinary lost connection,
which Celery answers by connecting again. To be deleted when that is mended upstream; `tests/integration/test_broker_loss.py` tells.

The economy: a channel makes a client of redis-py for each message that comes or is acknowledged, which takes a tenth of the time that a
worker's Python has for a chunk. Here it keeps one.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport.redis import Channel

_original = Channel._connparams
_create_client = Channel._create_client


def _connparams(self: Any, asynchronous: bool = False) -> Any:
    if self.connection is None or self.connection.client is None:
        raise redis.ConnectionError("the connection was closed")
    return _original(self, asynchronous)


def _kept_client(self: Any, asynchronous: bool = False) -> Any:
    if asynchronous:
        return _create_client(self, asynchronous)
    # The channel gets another pool when its connection was lost.
    client = self.__dict__.get("_sentiq_client")
    if client is None or client.connection_pool is not self.pool:
        client = self._sentiq_client = _create_client(self)
    return client


def install() -> None:
    """Puts both in place; a second time changes nothing."""
    Channel._connparams = _connparams
    Channel._create_client = _kept_client
