"""Makes a channel keep one client of redis-py.

kombu 5.7.0's `Channel._create_client` makes a client for each message that comes or is acknowledged, which is a tenth
of the Python time that a worker spends on a chunk.
"""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel

original = Channel._create_client


def _create_client(self: Any, asynchronous: bool = False) -> Any:
    if asynchronous:
        return original(self, asynchronous)
    client = getattr(self, "sentiq_client", None)
    # After its connection was lost, the channel has another pool.
    if client is None or client.connection_pool is not self.pool:
        client = self.sentiq_client = original(self)
    return client


def install() -> None:
    """Installs the patch."""
    Channel._create_client = _create_client
