"""Turns errors of Redis, and data of a later version in it, into the error that callers see."""

from __future__ import annotations

import logging
import time
from types import TracebackType

import redis

from tasks.errors import ServiceUnavailable, StorageFull
from tasks.store.full import refusal
from tasks.wire import NewerFormat

_TELL_EVERY_S = 60.0

_log = logging.getLogger(__name__)
_told_at = -_TELL_EVERY_S


def _tell_full(why: str) -> None:
    """Says so once a minute: each request would otherwise be a line."""
    global _told_at
    if time.monotonic() - _told_at > _TELL_EVERY_S:
        _told_at = time.monotonic()
        _log.error("Redis stores nothing, as %s: known texts are answered, all else is 503 until there is room", why)


class _RedisOrUnavailable:
    """A context manager. A generator's would take four times as long, and it is entered twice for each request."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, redis.RedisError):
            if (why := refusal(error)) is not None:
                _tell_full(why)
                raise StorageFull from error
            _log.warning("Redis away: %s", type(error).__name__)
            raise ServiceUnavailable from error
        if isinstance(error, NewerFormat):
            _log.warning("a web process of a later version is needed: %s", error)
            raise ServiceUnavailable from error


_ONLY = _RedisOrUnavailable()


def redis_or_unavailable() -> _RedisOrUnavailable:
    """A context for calls of Redis: raises ServiceUnavailable if it is away or has data of a later version, and
    StorageFull if it refuses to store anything.
    """
    return _ONLY
