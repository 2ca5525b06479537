"""Delivers a callback: one signed POST to the callback_url of a job or of a stream.

The callback_url comes from a caller, and a worker can reach addresses that the caller cannot. So a worker looks the
name up itself, all its addresses must be public, and the connection goes to an address that was checked, as a second
look-up could give another answer (DNS rebinding). For the same reason, redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitOver
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING

from standardwebhooks import Webhook

from tasks.background import aside
from tasks.errors import CallbackRefused
from tasks.jobs.callback_url import Target, check_url, is_public

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MAX_ANSWER_BYTES = 8192


Sign = Callable[[int, bytes], dict[str, str]]
"""The headers that sign a body that is sent at a time in Unix seconds."""


def standard_headers(secret: str, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Those of Standard Webhooks. The id is the same in every attempt, so that a receiver can drop repetitions."""
    webhook = Webhook(secret if secret.startswith("whsec_") else secret.encode())
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": webhook.sign(webhook_id, datetime.fromtimestamp(timestamp, UTC), body.decode()),
    }


def signed_headers(secret: str, job_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a job's callback: those of Standard Webhooks, and two deprecated ones of version 0.1."""
    return standard_headers(secret, f"job-ended-{job_id}", timestamp, body) | {
        "Sentiq-Job": job_id,
        "Sentiq-Signature": signature(secret, timestamp, body),
    }


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The deprecated header `Sentiq-Signature`: the time, and the HMAC-SHA256 of the time, a dot and the body."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the callback is over")
    return left


class _Bounded(io.RawIOBase):
    """A socket for http.client with one deadline for all its calls together, and a limit on the bytes that are read."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._until = until
        self._left_bytes = _MAX_ANSWER_BYTES

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_left(self._until))
        self._sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def close(self) -> None:
        pass  # http.client closes this while the reader is still in use; `deliver` closes the socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._left_bytes <= 0:
            return 0
        self._sock.settimeout(_left(self._until))
        count = self._sock.recv_into(buffer)
        self._left_bytes -= count
        return count


def _resolve(target: Target, until: float) -> list[str]:
    """All addresses of the host name. They are looked up on another thread, as the resolver's timeout cannot be set."""
    look_up = partial(socket.getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM)
    try:
        found = aside("callback-name", look_up).result(_left(until))
    except WaitOver:
        raise TimeoutError("the name server does not answer") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _connect(addresses: list[str], port: int, until: float) -> socket.socket:
    """A connection to the first address that accepts one; each address gets an equal share of the time left."""
    error = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            return socket.create_connection((address, port), timeout=_left(until) / (len(addresses) - number))
        except OSError as problem:
            error = problem
    raise error


def deliver(url: str, body: bytes, *, sign: Sign, allow_private: bool, timeout_s: float = 10.0) -> int:
    """Posts once, within `timeout_s` in all, and returns the HTTP status (also that of a redirect).

    Raises:
        CallbackRefused: see `tasks.jobs.callback_url.check_url`; or an address of the host name is not public.
        OSError: no connection, no time left, a certificate of another host, or an answer that is not HTTP.
    """
    until = time.monotonic() + timeout_s
    target = check_url(url, allow_private=allow_private)
    addresses = _resolve(target, until)
    if not allow_private and not all(map(is_public, addresses)):
        raise CallbackRefused("callback_url's host has an address that is not public.")
    tls = ssl.create_default_context() if target.tls else None
    connection = (
        HTTPSConnection(target.host, target.port, context=tls) if tls else HTTPConnection(target.host, target.port)
    )
    sock = _connect(addresses, target.port, until)
    try:
        if tls:
            sock.settimeout(_left(until))
            sock = tls.wrap_socket(sock, server_hostname=target.host)
        connection.sock = _Bounded(sock, until)
        headers = {"Content-Type": "application/json", "User-Agent": "sentiq", "Connection": "close"}
        headers |= sign(int(time.time()), body)
        connection.request("POST", target.path, body, headers)
        return connection.getresponse().status
    except HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {type(error).__name__}") from error
    finally:
        sock.close()
