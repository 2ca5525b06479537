"""What kombu 5.7.0 lacks: two guards, and an economy.

The first guard keeps a worker alive when the broker's connection drops while a chunk is unacknowledged.

Celery 5.7.0 closes the consumer's connection twice; the second time kombu 5.7.0's `Channel._connparams` reads
`hostname` of a client that is None, and the AttributeError ends the worker. As redis.ConnectionError the same event is
an ordinary lost connection, which Celery answers by connecting again. To be deleted when that is mended upstream;
`tests/integration/test_broker_loss.py` tells.

The second keeps a worker from hanging when its subscription to remote control breaks and the server can be reached
again at once. redis-py 8.1.0 then connects anew by itself, without subscribing, and waits without limit for a message
that cannot come: on the thread that takes chunks. Without its own attempt the break is told to Celery, which begins
again with all its connections.

The economy: a channel makes a client of redis-py for each message that comes or is acknowledged, which takes a tenth of
the time that a worker's Python has for a chunk. Here it keeps one.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport.redis import Channel
from redis.backoff import NoBackoff
from redis.retry import Retry

_original = Channel._connparams
_create_client = Channel._create_client
_receive_one = Channel._receive_one


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


def _receive_one_or_fail(self: Any, client: Any) -> Any:
    if client.connection is not None:
        client.connection.retry = Retry(NoBackoff(), 0)
    return _receive_one(self, client)


def install() -> None:
    """Puts all in place; a second time changes nothing."""
    Channel._connparams = _connparams
    Channel._create_client = _kept_client
    Channel._receive_one = _receive_one_or_fail
