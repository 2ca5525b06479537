"""Redis clients and URLs: the only place that knows timeouts and how a server behind Sentinels is found."""

from __future__ import annotations

from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from tasks.store.client import Client as Client

_MOST_CONNECTIONS = 100
"""Connections of a client. Further callers wait for one, at most as long as for an answer: a command takes a fraction of
a millisecond, and a connection for each of a thousand requests at once would take files that callers need.
"""
_MOST_WATCHED = 1000
"""Connections of a client that finds its server through Sentinels: redis-py lets nobody wait there."""


class _Watched(NamedTuple):
    """A server that is found through Sentinels.

    The URL's host is the first Sentinel; its user, password and database are those of the server.
    """

    name: str
    """The name that the Sentinels have for the server (`sentinel monitor NAME ...`)."""
    sentinels: list[tuple[str, int]]
    sentinel_options: dict[str, Any]
    """Options of the connections to the Sentinels."""
    server_options: dict[str, Any]
    """Options of the connections to the server: user, password, database and TLS."""


def _watched(url: str) -> _Watched | None:
    """Reads `?sentinel=NAME&sentinels=host:port,host:port&sentinel_password=...`; None without `sentinel`."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    name = query.pop("sentinel", None)
    if name is None:
        return None
    others = [urlsplit(f"//{address}") for address in query.pop("sentinels", "").split(",") if address]
    password = query.pop("sentinel_password", None)
    options: dict[str, Any] = parse_url(parts._replace(query=urlencode(query)).geturl())
    options["ssl"] = options.pop("connection_class", None) is SSLConnection
    for key in ("host", "port"):
        options.pop(key, None)
    # A dead Sentinel must cost little time, as the next one is asked. redis-py would retry it three times, seconds
    # apart.
    asking = {
        "socket_timeout": 0.3,
        "socket_connect_timeout": 0.3,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "password": password,
    }
    asking |= {key: value for key, value in options.items() if key.startswith("ssl")}
    return _Watched(name, [(one.hostname or "", one.port or 26379) for one in (parts, *others)], asking, options)


def connect(url: str, *, timeout_s: float, blocking: bool = False) -> Client:
    """Makes a client with a connection pool of its own.

    A broken connection is replaced once and the command sent again. If a command has run twice because of that, a count
    of attempts may be one too high, and a claim may find its own mark, so that the caller gets a job instead of an
    answer; all other commands have the same effect as if run once. A server that does not answer in time is not asked
    again, since the caller would then wait for twice the timeout.

    Args:
        url: `redis://`, `rediss://` or `unix://`; with `?sentinel=NAME`, the address is a Sentinel's (see `_watched`).
        timeout_s: the limit for connecting and for each answer, so that no caller hangs on a server that has stopped.
        blocking: for BLPOP only: `timeout_s` is then the longest wait that the caller will ask for, and the socket's
            timeout is longer (redis-py 8 raises when its own timeout, 5 s by default, ends first).
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": min(timeout_s, 1.0),
        "socket_timeout": timeout_s + 5.0 if blocking else timeout_s,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        "protocol": 2,
    }
    watched = _watched(url)
    if watched is None:
        pool = redis.BlockingConnectionPool.from_url(
            url, max_connections=_MOST_CONNECTIONS, timeout=timeout_s, **options
        )
        return cast("Client", redis.Redis.from_pool(pool))
    sentinel = Sentinel(watched.sentinels, sentinel_kwargs=watched.sentinel_options)
    more = {"max_connections": _MOST_WATCHED}
    return cast("Client", sentinel.master_for(watched.name, **watched.server_options, **options, **more))


def celery_url(url: str) -> str:
    """The server's URL in the form that Celery and kombu expect."""
    parts = urlsplit(url)
    watched = _watched(url)
    if watched is not None:
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return ";".join(f"sentinel://{user}{host}:{port}{parts.path}" for host, port in watched.sentinels)
    query = parse_qs(parts.query)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={query.get('db', ['0'])[0]}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        # This is redis-py's default, but Celery requires it to be given.
        return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    return url


def celery_transport_options(url: str) -> dict[str, Any]:
    """The transport options that Celery and kombu need for that server."""
    watched = _watched(url)
    return {} if watched is None else {"master_name": watched.name, "sentinel_kwargs": watched.sentinel_options}


def celery_tls(url: str) -> dict[str, Any] | None:
    """The TLS options of a server behind Sentinels, for `broker_use_ssl` and `redis_backend_use_ssl`.

    None for other servers, whose URL says it.
    """
    watched = _watched(url)
    if watched is None or not watched.server_options["ssl"]:
        return None
    return {"ssl_cert_reqs": "required"} | {
        key: value for key, value in watched.server_options.items() if key.startswith("ssl_")
    }
