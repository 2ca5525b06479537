"""Keeps one client of redis-py for a channel.

kombu 5.7.0's `Channel._create_client` makes one for each message that comes or is acknowledged, which takes a tenth of
the time that a worker's Python has for a chunk.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel

original = Channel._create_client


def _create_client(self: Any, asynchronous: bool = False) -> Any:
    if asynchronous:
        return original(self, asynchronous)
    client = getattr(self, "sentiq_client", None)
    # The channel gets another pool when its connection was lost.
    if client is None or client.connection_pool is not self.pool:
        client = self.sentiq_client = original(self)
    return client


def install() -> None:
    """Puts it in place."""
    Channel._create_client = _create_client
