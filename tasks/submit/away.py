"""Turns errors of Redis, and data of a later version in it, into the error that callers see."""

from __future__ import annotations

import logging
from types import TracebackType

import redis

from tasks.errors import ServiceUnavailable, StorageFull
from tasks.wire import NewerFormat

_log = logging.getLogger(__name__)


class _RedisOrUnavailable:
    """A context manager. A generator's would take four times as long, and it is entered twice for each request."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, redis.exceptions.OutOfMemoryError):
            _log.warning("the memory of Redis is full")
            raise StorageFull from error
        if isinstance(error, redis.RedisError):
            _log.warning("Redis away: %s", type(error).__name__)
            raise ServiceUnavailable from error
        if isinstance(error, NewerFormat):
            _log.warning("a web process of a later version is needed: %s", error)
            raise ServiceUnavailable from error


_ONLY = _RedisOrUnavailable()


def redis_or_unavailable() -> _RedisOrUnavailable:
    """A context for calls of Redis: raises ServiceUnavailable if it is away or has data of a later version, and
    StorageFull if its memory is full.
    """
    return _ONLY
