"""Redis away, or of a later version, as callers are told of it."""

from __future__ import annotations

import logging
from types import TracebackType

import redis

from tasks.errors import ServiceUnavailable
from tasks.wire import NewerFormat

_log = logging.getLogger(__name__)


class _RedisOrUnavailable:
    """Not a generator's context: it is entered twice for each request, and this takes a quarter of the time."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, redis.RedisError):
            _log.warning("Redis away: %s", type(error).__name__)
            raise ServiceUnavailable from error
        if isinstance(error, NewerFormat):
            _log.warning("a web process of a later version is needed: %s", error)
            raise ServiceUnavailable from error


_ONLY = _RedisOrUnavailable()


def redis_or_unavailable() -> _RedisOrUnavailable:
    """Around what asks Redis: raises ServiceUnavailable if it is away, or holds what only a later version can read."""
    return _ONLY
