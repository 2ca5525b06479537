"""How long a caller is waited for. Gunicorn itself reads a body without any limit: a byte now and then would hold a
connection for good.

Whoever sends without a pause is read in turns with the others: a socket that always has something is never waited for,
and would else keep the process to itself.
"""

from __future__ import annotations

import time
from socket import socket
from typing import Any

import gevent
from gunicorn.http.errors import NoMoreData

from tasks.errors import UploadTooSlow

HEADERS_WAIT_S = 30.0
"""Seconds for the line and headers of a request in all, from its first byte on; for the first request of a connection
as many again until that byte. What the application has left unread of the last request's body is read within them too.
"""
BODY_WAIT_S = 120.0
"""Seconds of waiting for each BODY_BYTES of a body, or for its rest; as long as a job whose texts still come in is kept
without a text.
"""
BODY_BYTES = 16 * 1024


class IdleSocket:
    """A connection's socket while a request is waited for. Once the time is spent, it is as if the caller had hung
    up.
    """

    def __init__(self, client: socket) -> None:
        self.client = client
        self._idle_s = HEADERS_WAIT_S
        self._until: float | None = None
        self.asked = False
        """A request has come by this connection."""

    def wait(self, idle_s: float) -> None:
        """The next request may begin within so many seconds."""
        self._idle_s, self._until = idle_s, None

    def recv(self, size: int) -> bytes:
        """Some bytes; none if the sender has closed."""
        if self._until is None:
            left_s = self._idle_s
        else:
            gevent.sleep(0)
            left_s = self._until - time.monotonic()
            if left_s <= 0:
                raise NoMoreData
        self.client.settimeout(left_s)
        try:
            data: bytes = self.client.recv(size)
        except TimeoutError:
            raise NoMoreData from None
        finally:
            self.client.settimeout(None)
        if self._until is None:
            self._until = time.monotonic() + HEADERS_WAIT_S
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


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
            gevent.sleep(0)
        return data
