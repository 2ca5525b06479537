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
import re
import socket
import ssl
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as WaitOver
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tasks.background import aside
from tasks.errors import CallbackRefused
from tasks.jobs.job import CALLBACKS
from tasks.store.connections import Client

RETRIES_S = (5, 30, 120, 600, 1800, 3600, 7200)
"""The wait after each failed attempt, give or take a fifth; one attempt more than there are waits."""
CLAIM_S = 60
"""Until a claimed callback is due again if its worker dies; well above the time of one attempt."""
PER_CALL = 4
"""Attempts in one call of `run_due`: its thread has other things to do."""

_MAX_ANSWER_BYTES = 8192
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = tuple(map(IPv6Network, ("2001::/23", "2002::/16", "3fff::/20")))
"""Teredo and other protocols' own, 6to4, documentation: the tunnels lead to an IPv4 address, and not all Pythons know
the last.
"""

# KEYS: the set; ARGV: now, due again, TTL. One script, so that of several workers one gets it.
_CLAIM = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1)
if #due == 0 then return false end
redis.call('ZADD', KEYS[1], ARGV[2], due[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return due[1]
"""
# KEYS: the set, the job; ARGV: job id, claimed score, state, now, the waits. A field written after the job has expired
# would make a key without an end. A worker that was held up until its claim had passed to another may report success,
# but not put it off.
_SETTLE = """
if redis.call('EXISTS', KEYS[2]) == 0 then return redis.call('ZREM', KEYS[1], ARGV[1]) end
local state = ARGV[3]
if state ~= 'delivered' and tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) ~= tonumber(ARGV[2]) then return 0 end
local wait = ARGV[4 + redis.call('HINCRBY', KEYS[2], 'callback_attempts', 1)]
if state == 'pending' and not wait then state = 'failed' end
if state == 'pending' then
  redis.call('ZADD', KEYS[1], ARGV[4] + wait, ARGV[1])
else
  redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[2], 'callback_state', state)
return 1
"""

_log = logging.getLogger(__name__)


class _Target(NamedTuple):
    tls: bool
    host: str
    port: int
    path: str


def check_url(url: str, *, allow_private: bool) -> None:
    """Refuses what can be refused without asking a name server.

    Raises:
        CallbackRefused: not a plain http(s) URL, or, unless `allow_private`, one to an address that is not public,
            however it is spelt.
    """
    _target(url, allow_private=allow_private)


def _target(url: str, *, allow_private: bool) -> _Target:
    # Beyond ASCII there are full-width digits and dots, which a resolver turns into an address.
    if not re.fullmatch(r"[!-~]{1,2000}", url):
        raise CallbackRefused("callback_url has to be 1 to 2,000 characters of ASCII, without blanks.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
        host.encode("idna")  # as getaddrinfo does: a label that is empty or too long
    except ValueError:
        raise CallbackRefused("callback_url is not a valid URL.") from None
    literal = _literal(host)
    if parts.scheme not in ("http", "https") or port == 0 or not (literal or re.fullmatch(r"[a-z0-9._-]+", host)):
        raise CallbackRefused("callback_url has to be http or https, with a valid host and port.")
    if "@" in parts.netloc:
        raise CallbackRefused("callback_url holds a user name.")
    local = not _is_public(literal) if literal else f".{host}".endswith(".localhost")
    if local and not allow_private:
        raise CallbackRefused("callback_url is not a public address.")
    tls = parts.scheme == "https"
    return _Target(
        tls, host, port or (443 if tls else 80), (parts.path or "/") + ("?" + parts.query if parts.query else "")
    )


def _literal(host: str) -> str | None:
    """The address that a host is, in its usual spelling; None for a name."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # also 127.1, 0x7f000001, 017700000001, 2130706433
    except OSError:
        return None


def _is_public(text: str) -> bool:
    address = ip_address(text)
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            address = IPv4Address(int(address) & 0xFFFFFFFF)
        elif address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        elif address not in _GLOBAL_UNICAST or any(address in network for network in _NOT_PUBLIC):
            return False
    return address.is_global and not address.is_multicast


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The header `Sentiq-Signature`: the time of sending and the HMAC-SHA256 of that time, a dot and the body."""
    digest = hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def verify(secret: str, header: str, body: bytes, *, now: float, tolerance_s: float = 300) -> bool:
    """Whether the body was signed with this secret, at most `tolerance_s` from now."""
    found = re.fullmatch(r"t=([0-9]{1,12}),v1=[0-9a-f]{64}", header)
    if found is None:
        return False
    timestamp = int(found[1])
    return hmac.compare_digest(signature(secret, timestamp, body), header) and abs(now - timestamp) <= tolerance_s


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

    def readinto(self, buffer: Any) -> int:
        if self._left_bytes <= 0:
            return 0
        self._sock.settimeout(_left(self._until))
        count = self._sock.recv_into(buffer)
        self._left_bytes -= count
        return count


def _resolve(target: _Target, until: float) -> list[str]:
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
        CallbackRefused: see `check_url`; or any of the name's addresses is not public.
        OSError: no connection, no time left, a certificate that is not the host's, or an answer that is not HTTP.
    """
    until = time.monotonic() + timeout_s
    target = _target(url, allow_private=allow_private)
    addresses = _resolve(target, until)
    if not allow_private and not all(map(_is_public, addresses)):
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
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "sentiq",
            "Connection": "close",
            "Sentiq-Job": job_id,
        }
        connection.request(
            "POST", target.path, body, headers | {"Sentiq-Signature": signature(secret, int(time.time()), body)}
        )
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
            allow_private: see `check_url`.
            body: gives a job's callback_url and the body to post; None when the job is gone or has no callback.
        """
        self._client = client
        self._secret = secret
        self._allow_private = allow_private
        self._body = body
        self._claim = client.register_script(_CLAIM)
        self._settle = client.register_script(_SETTLE)

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
                raise CallbackRefused("There is no secret to sign it with.")
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
        _log.warning("callback of job %s not taken by %s: %s", job_id, urlsplit(url).hostname, outcome)
        return "failed" if outcome == "410" else "pending"
