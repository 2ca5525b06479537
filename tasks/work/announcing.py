"""Announces that a worker is ready, for as long as it takes chunks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import redis
from msgspec.structs import replace

from tasks.background import Loop
from tasks.store.presence import REFRESH_S, Presence
from tasks.wire import WorkerMark

_log = logging.getLogger("tasks.worker")


def announcing(
    presence: Presence, mark: WorkerMark, stop: threading.Event, *, texts_per_s: Callable[[], float]
) -> Loop:
    """A loop that renews the worker mark, with the engine's rate of the moment, until `stop` is set, and then withdraws
    it (if that fails, it expires).
    """

    def announce() -> None:
        presence.announce(replace(mark, texts_per_s=round(texts_per_s(), 1)))

    def withdraw() -> None:
        _log.info("stopping: finishing the chunks that were begun")
        presence.withdraw(mark)

    away = (redis.RedisError,)
    return Loop("presence", announce, period_s=REFRESH_S, expected=away, stop=stop, at_end=withdraw)
