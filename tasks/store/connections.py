"""Redis clients and URLs. One place knows the time-outs, and how a server that Sentinels watch is found."""

from __future__ import annotations

from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from tasks.store.client import Client as Client


class _Watched(NamedTuple):
    """A server that Sentinels watch; the URL's host is the first of them, and its user, password and database are the
    server's.
    """

    name: str
    """As the Sentinels call it (`sentinel monitor NAME ...`)."""
    sentinels: list[tuple[str, int]]
    sentinel_options: dict[str, Any]
    """Of the connections to the Sentinels."""
    server_options: dict[str, Any]
    """Of the connections to the server that they name: user, password, database and TLS."""


def _watched(url: str) -> _Watched | None:
    """What `?sentinel=NAME&sentinels=host:port,host:port&sentinel_password=...` says; None if nothing."""
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
    # A dead Sentinel costs little: the next one is asked. redis-py would try it three times more, seconds apart.
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
    """A client with its own pool.

    Args:
        url: `redis://`, `rediss://` or `unix://`; with `?sentinel=NAME`, the address is a Sentinel's (see `_watched`).
        timeout_s: for connecting and for each answer, so that no caller hangs on a server that is stopped.
        blocking: for BLPOP alone: `timeout_s` is then the longest wait that the caller will ask for, and the socket's
            is longer (redis-py 8 raises when its own time-out, 5 s by default, ends first).

    A broken connection is replaced once and the command sent again. Sent twice, the counts of attempts are one too
    high, and a claim finds its own mark, so that the caller gets a job instead; everything else ends as if sent once. A
    server that does not answer in time is not asked again: the caller would wait twice as long as he was told.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": min(timeout_s, 1.0),
        "socket_timeout": timeout_s + 5.0 if blocking else timeout_s,
        "retry": Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        "protocol": 2,
    }
    watched = _watched(url)
    if watched is None:
        return cast("Client", redis.Redis.from_url(url, **options))
    sentinel = Sentinel(watched.sentinels, sentinel_kwargs=watched.sentinel_options)
    return cast("Client", sentinel.master_for(watched.name, **watched.server_options, **options))


def celery_url(url: str) -> str:
    """The same server as Celery and kombu spell it."""
    parts = urlsplit(url)
    watched = _watched(url)
    if watched is not None:
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return ";".join(f"sentinel://{user}{host}:{port}{parts.path}" for host, port in watched.sentinels)
    query = parse_qs(parts.query)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={query.get('db', ['0'])[0]}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        # redis-py's default, which Celery wants to hear.
        return f"{url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    return url


def celery_transport_options(url: str) -> dict[str, Any]:
    """What else Celery and kombu have to know of that server, as transport options."""
    watched = _watched(url)
    return {} if watched is None else {"master_name": watched.name, "sentinel_kwargs": watched.sentinel_options}


def celery_tls(url: str) -> dict[str, Any] | None:
    """TLS of a server that Sentinels watch, as `broker_use_ssl` and `redis_backend_use_ssl`; for others the URL says
    it.
    """
    watched = _watched(url)
    if watched is None or not watched.server_options["ssl"]:
        return None
    return {"ssl_cert_reqs": "required"} | {
        key: value for key, value in watched.server_options.items() if key.startswith("ssl_")
    }
