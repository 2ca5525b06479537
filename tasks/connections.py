"""Redis clients and URLs. One place knows the time-outs."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

Client: TypeAlias = Any
"""A redis.Redis that answers in bytes. Its own types say `bytes | str` and `Awaitable` everywhere, whichever it was made for."""


def connect(url: str, *, timeout_s: float, blocking: bool = False) -> Client:
    """A client with its own pool.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        timeout_s: for connecting and for each answer, so that no caller hangs on a server that is stopped.
        blocking: for BLPOP alone: `timeout_s` is then the longest wait that the caller will ask for, and the socket's is longer
            (redis-py 8 raises when its own time-out, 5 s by default, ends first).

    A broken connection is replaced once and the command sent again. Sent twice, the counts of attempts are one too high, and a
    claim finds its own mark, so that the caller gets a job instead; everything else ends as if sent once. A server that does not
    answer in time is not asked again: the caller would wait twice as long as he was told.
    """
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=min(timeout_s, 1.0),
        socket_timeout=timeout_s + 5.0 if blocking else timeout_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        protocol=2,
    )


def celery_url(url: str) -> str:
    """The same server as Celery and kombu spell it: they know unix sockets under another scheme."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
