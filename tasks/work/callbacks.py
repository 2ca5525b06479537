"""Callbacks: a signed POST to a job's callback_url when the job has ended, with retries.

The callback_url comes from a caller, and a worker can reach addresses that the caller cannot. So a worker looks the
name up itself, all its addresses must be public, and the connection goes to an address that was checked, as a second
look-up could give another answer (DNS rebinding). For the same reason, redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import logging
import random
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitOver
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from standardwebhooks import Webhook

from tasks.background import aside
from tasks.errors import CallbackRefused
from tasks.jobs.callback_url import Target, check_url, is_public
from tasks.jobs.keys import CALLBACKS
from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.scripts import load_script

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RETRIES_S = (5, 30, 120, 600, 1800, 3600, 7200)
"""The waits in seconds, give or take a fifth, after each failed attempt but the last."""
CLAIM_S = 60
"""Seconds until a claimed callback is due again if its worker dies; much longer than one attempt takes."""
PER_CALL = 4
"""The most attempts in one call of `run_due`."""

_MAX_ANSWER_BYTES = 8192

_log = logging.getLogger(__name__)


def signed_headers(secret: str, job_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that sign a callback: those of Standard Webhooks, and two deprecated ones of version 0.1."""
    webhook = Webhook(secret if secret.startswith("whsec_") else secret.encode())
    webhook_id = f"job-ended-{job_id}"  # the same in every attempt, so that a receiver can drop repetitions
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": webhook.sign(webhook_id, datetime.fromtimestamp(timestamp, UTC), body.decode()),
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


def deliver(url: str, body: bytes, *, job_id: str, secret: str, allow_private: bool, timeout_s: float = 10.0) -> int:
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
        headers |= signed_headers(secret, job_id, int(time.time()), body)
        connection.request("POST", target.path, body, headers)
        return connection.getresponse().status
    except HTTPException as error:
        raise ConnectionError(f"no HTTP answer: {type(error).__name__}") from error
    finally:
        sock.close()


class Callbacks:
    """Posts the callbacks that are due. Raises redis.RedisError when Redis is away; callbacks are then only delayed."""

    KEY = CALLBACKS
    """The key of the sorted set of job ids by the Unix time when their callbacks are due."""
    TTL_S = 2 * 86_400
    """The TTL of that set, renewed with each claim; longer than the longest wait."""

    def __init__(
        self,
        client: Client,
        *,
        secret: str | None,
        allow_private: bool,
        body: Callable[[str], tuple[str, bytes] | None],
    ) -> None:
        """Makes no connection.

        Args:
            client: connected to the server of the jobs.
            secret: the secret for signatures. Without one every callback fails, as none is sent unsigned.
            allow_private: see `tasks.jobs.callback_url.check_url`.
            body: returns a job's callback_url and the body to post; None if the job is gone or has no callback.
        """
        self._client = client
        self._secret = secret
        self._allow_private = allow_private
        self._body = body
        self._claim = load_script(client, "tasks.work", "callback_claim")
        self._settle = load_script(client, "tasks.work", "callback_settle")

    def run_due(self) -> int:
        """Posts callbacks that are due, one after the other and at most PER_CALL; returns the number of attempts."""
        tried = 0
        for _ in range(PER_CALL):
            now = time.time()
            claimed = self._claim(keys=[self.KEY], args=[now, now + CLAIM_S, self.TTL_S])
            if claimed is None:
                break
            job_id = name_of(claimed)
            told = self._body(job_id)
            if told is None:
                self._client.zrem(self.KEY, job_id)
                continue
            tried += 1
            state = self._post(job_id, *told)
            waits = [wait * random.uniform(0.8, 1.2) for wait in RETRIES_S]
            self._settle(
                keys=[self.KEY, f"sentiq:j:{job_id}"], args=[job_id, now + CLAIM_S, state, time.time(), *waits]
            )
        return tried

    def _post(self, job_id: str, url: str, body: bytes) -> str:
        """Makes one attempt; returns the callback's state, `pending` if another attempt may follow."""
        try:
            if not self._secret:
                raise CallbackRefused("CALLBACK_SECRET is not set, so that it cannot be signed.")
            status = deliver(url, body, job_id=job_id, secret=self._secret, allow_private=self._allow_private)
        except CallbackRefused as error:
            _log.warning("callback of job %s refused: %s", job_id, error)
            return "failed"
        except OSError as error:
            outcome = type(error).__name__
        else:
            if 200 <= status < 300:
                return "delivered"
            outcome = str(status)
        # Only the host, as the rest of the URL may contain a secret.
        _log.warning("callback of job %s not accepted by %s: %s", job_id, urlsplit(url).hostname, outcome)
        return "failed" if outcome == "410" else "pending"
