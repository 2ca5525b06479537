"""A signed POST to the address that a job came with, when it has ended: again on failure, and never into the service's
own network.

A job's callback_url comes from a caller, and the worker that posts to it can reach what the caller cannot. So the name
is looked up here, every address that it has must be public, and the connection goes to an address that was checked: a
second look-up could answer otherwise (DNS rebinding). Redirects are not followed, for the same reason.
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
from tasks.store.connections import Client
from tasks.store.scripts import load_script

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RETRIES_S = (5, 30, 120, 600, 1800, 3600, 7200)
"""The wait after each failed attempt, give or take a fifth; one attempt more than there are waits."""
CLAIM_S = 60
"""Until a claimed callback is due again if its worker dies; well above the time of one attempt."""
PER_CALL = 4
"""Attempts in one call of `run_due`: its thread has other things to do."""

_MAX_ANSWER_BYTES = 8192

_log = logging.getLogger(__name__)


def signed_headers(secret: str, job_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What tells a receiver that a callback is ours, and which one: the headers of Standard Webhooks and, in version
    0.1, two of our own, deprecated.
    """
    webhook = Webhook(secret if secret.startswith("whsec_") else secret.encode())
    webhook_id = f"job-ended-{job_id}"  # the same in every attempt: a receiver drops what it has seen
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": webhook.sign(webhook_id, datetime.fromtimestamp(timestamp, UTC), body.decode()),
        "Sentiq-Job": job_id,
        "Sentiq-Signature": signature(secret, timestamp, body),
    }


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The deprecated header `Sentiq-Signature`: the time of sending and the HMAC-SHA256 of that time, a dot and the
    body.
    """
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time for the callback is over")
    return left


class _Bounded(io.RawIOBase):
    """A socket for http.client on which everything together ends at `until`, however slowly bytes drip, and few are
    read.
    """

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
        pass  # http.client closes it before it has done with the reader; `deliver` closes the socket

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
    """Every address of the name. On a thread of its own, for the resolver's patience cannot be set."""
    look_up = partial(socket.getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM)
    try:
        found = aside("callback-name", look_up).result(_left(until))
    except WaitOver:
        raise TimeoutError("the name server does not answer") from None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _connect(addresses: list[str], port: int, until: float) -> socket.socket:
    """A connection to the first that accepts one; one that is silent leaves the others their share of the time."""
    error = OSError("no address")
    for number, address in enumerate(addresses):
        try:
            return socket.create_connection((address, port), timeout=_left(until) / (len(addresses) - number))
        except OSError as problem:
            error = problem
    raise error


def deliver(url: str, body: bytes, *, job_id: str, secret: str, allow_private: bool, timeout_s: float = 10.0) -> int:
    """Posts once, within `timeout_s` in all, and returns the HTTP status, a redirect's too.

    Raises:
        CallbackRefused: see `tasks.jobs.callback_url.check_url`; or any of the name's addresses is not public.
        OSError: no connection, no time left, a certificate that is not the host's, or an answer that is not HTTP.
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
    """Those that are due, by the time. Raises redis.RedisError when the server is away; nothing is lost then, only
    later.
    """

    KEY = CALLBACKS
    """Job ids by the Unix time when they are due, a sorted set."""
    TTL_S = 2 * 86_400
    """Of that set, from each claim on; above the longest wait."""

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
            client: of the server that the jobs are on.
            secret: signs; without one, every callback fails: none goes out unsigned.
            allow_private: see `tasks.jobs.callback_url.check_url`.
            body: gives a job's callback_url and the body to post; None when the job is gone or has no callback.
        """
        self._client = client
        self._secret = secret
        self._allow_private = allow_private
        self._body = body
        self._claim = load_script(client, "tasks.work", "callback_claim")
        self._settle = load_script(client, "tasks.work", "callback_settle")

    def run_due(self) -> int:
        """Posts what is due, one after the other, at most PER_CALL; returns how many were tried."""
        tried = 0
        for _ in range(PER_CALL):
            now = time.time()
            claimed = self._claim(keys=[self.KEY], args=[now, now + CLAIM_S, self.TTL_S])
            if claimed is None:
                break
            job_id = claimed.decode()
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
        """The state that one attempt leads to, if there may be more of them."""
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
        # The rest of the URL may hold a secret.
        _log.warning("callback of job %s not accepted by %s: %s", job_id, urlsplit(url).hostname, outcome)
        return "failed" if outcome == "410" else "pending"
