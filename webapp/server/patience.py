"""How long the server waits for a caller. Gunicorn itself has no limit for a request's body, so a byte now and then
could keep a connection occupied for ever.

A caller that sends without a pause is read in turns with the others. Its socket always has something to read, so gevent
would never switch to another connection by itself.

A process serves only so many connections. When it has no place left, those make room whose callers have kept it waiting
longest: for a request, for the rest of a body, or until they take their answer.
"""

from __future__ import annotations

import time
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import Any

import gevent
from gunicorn.http.errors import NoMoreData

from tasks.errors import UploadTooSlow

HEADERS_WAIT_S = 30.0
"""Seconds for a request's line and headers in all, from the first byte on. The first byte of a new connection must come
within the same time. What the application left unread of the previous request's body is read in this time too.
"""
BODY_WAIT_S = 120.0
"""Seconds to wait for each BODY_BYTES of a body, or for its rest. A job whose texts are still coming in is kept as long
without a new text.
"""
BODY_BYTES = 16 * 1024
STALLED_S = 1.0
"""Seconds for which a caller must have kept the process waiting before its connection may make room for others."""


class Stalled:
    """The connections of a process that wait for their callers."""

    def __init__(self) -> None:
        self._since: dict[socket, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def begin(self, client: socket, waited_s: float = 0.0) -> None:
        """Notes that a connection waits, and for how long it has waited for the same already."""
        self._since[client] = time.monotonic() - waited_s

    def end(self, client: socket) -> None:
        """Notes that a connection no longer waits."""
        self._since.pop(client, None)

    def close_longest(self) -> bool:
        """Ends the connection that has waited longest, if that is for STALLED_S; returns whether one was ended. To
        whoever serves it, it looks as if the caller had hung up.
        """
        client = min(self._since, key=self._since.__getitem__, default=None)
        if client is None or time.monotonic() - self._since[client] < STALLED_S:
            return False
        del self._since[client]
        with suppress(OSError):  # it may be closed already
            client.shutdown(SHUT_RDWR)
        return True


class IdleSocket:
    """A connection's socket while the server waits for a request. Once the time is spent, every read raises NoMoreData,
    as if the caller had hung up.
    """

    def __init__(self, client: socket, stalled: Stalled) -> None:
        self.client = client
        self._stalled = stalled
        self._idle_s = HEADERS_WAIT_S
        self._until: float | None = None
        self.asked = False
        """Whether a request has come on this connection."""

    def wait(self, idle_s: float) -> None:
        """Sets how many seconds may pass until the next request begins."""
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
        self._stalled.begin(self.client, 0.0 if self._until is None else HEADERS_WAIT_S - left_s)
        self.client.settimeout(left_s)
        try:
            data: bytes = self.client.recv(size)
        except TimeoutError:
            raise NoMoreData from None
        finally:
            self.client.settimeout(None)
            self._stalled.end(self.client)
        if self._until is None:
            self._until = time.monotonic() + HEADERS_WAIT_S
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


class PatientSocket:
    """A connection's socket while a body is read from it. Once the time is spent, every read raises UploadTooSlow.

    Only waiting counts: what the application does between two reads is not the sender's fault.
    """

    def __init__(self, client: socket, stalled: Stalled) -> None:
        self._client = client
        self._stalled = stalled
        self._left_s, self._come_bytes = BODY_WAIT_S, 0

    def recv(self, size: int) -> bytes:
        """Reads some bytes; none if the sender has closed the connection."""
        if self._left_s <= 0:
            raise UploadTooSlow
        began = time.monotonic()
        self._stalled.begin(self._client, BODY_WAIT_S - self._left_s)
        self._client.settimeout(self._left_s)
        try:
            data: bytes = self._client.recv(size)
        except TimeoutError:
            self._left_s = 0.0
            raise UploadTooSlow from None
        finally:
            self._client.settimeout(None)
            self._stalled.end(self._client)
        self._left_s -= time.monotonic() - began
        self._come_bytes += len(data)
        if self._come_bytes >= BODY_BYTES:
            self._left_s, self._come_bytes = BODY_WAIT_S, 0
            gevent.sleep(0)
        return data
