"""A worker says that it is ready, for as long as it takes chunks."""

from __future__ import annotations

import logging
import threading
from functools import partial

import redis

from tasks.background import Loop
from tasks.store.presence import REFRESH_S, Presence
from tasks.wire import WorkerMark

_log = logging.getLogger("tasks.worker")


def announcing(presence: Presence, mark: WorkerMark, stop: threading.Event) -> Loop:
    """Says that the worker is ready, until `stop` is set; then that it is not. Should that fail, the mark expires."""

    def withdraw() -> None:
        _log.info("stopping: chunks that were begun are ended first")
        presence.withdraw(mark)

    away = (redis.RedisError,)
    announce = partial(presence.announce, mark)
    return Loop("presence", announce, period_s=REFRESH_S, expected=away, stop=stop, at_end=withdraw)
