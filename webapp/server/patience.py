"""How long a body is waited for. Gunicorn itself reads one without any limit: a byte now and then would hold a
connection for good.

A request's line and headers have `keepalive` seconds in all (`webapp.server.worker`).
"""

from __future__ import annotations

import time
from socket import socket

from tasks.errors import UploadTooSlow

BODY_WAIT_S = 120.0
"""Seconds of waiting for each BODY_BYTES of a body, or for its rest; as long as a job whose texts still come in is kept
without a text.
"""
BODY_BYTES = 16 * 1024


class PatientSocket:
    """A connection's socket while a body is read from it. Raises UploadTooSlow, and goes on raising it, once the time
    is spent.

    Only waiting counts: what the application does between two pieces is no fault of the sender's.
    """

    def __init__(self, client: socket) -> None:
        self._client = client
        self._left_s, self._come_bytes = BODY_WAIT_S, 0

    def recv(self, size: int) -> bytes:
        """Some bytes; none if the sender has closed."""
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
