"""How long the server waits for a request's body. Gunicorn itself has no limit for that, so a byte now and then could
keep a connection occupied for ever.

For its line and headers a request has `keepalive` seconds in all (`webapp.server.worker`).
"""

from __future__ import annotations

import time
from socket import socket

from tasks.errors import UploadTooSlow

BODY_WAIT_S = 120.0
"""Seconds to wait for each BODY_BYTES of a body, or for its rest. A job whose texts are still coming in is kept as long
without a new text.
"""
BODY_BYTES = 16 * 1024


class PatientSocket:
    """A connection's socket while a body is read from it. Once the time is spent, every read raises UploadTooSlow.

    Only waiting counts: what the application does between two reads is not the sender's fault.
    """

    def __init__(self, client: socket) -> None:
        self._client = client
        self._left_s, self._come_bytes = BODY_WAIT_S, 0

    def recv(self, size: int) -> bytes:
        """Reads some bytes; none if the sender has closed the connection."""
        if self._left_s <= 0:
            raise UploadTooSlow
        began = time.monotonic()
        self._client.settimeout(self._left_s)
        try:
            data: bytes = self._client.recv(size)
        except TimeoutError:
            self._left_s = 0.0
            raise UploadTooSlow from None
        finally:
            self._client.settimeout(None)
        self._left_s -= time.monotonic() - began
        self._come_bytes += len(data)
        if self._come_bytes >= BODY_BYTES:
            self._left_s, self._come_bytes = BODY_WAIT_S, 0
        return data
