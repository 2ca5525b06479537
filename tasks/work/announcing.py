"""Announces that a worker is ready, for as long as it takes chunks."""

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
    """A loop that renews the worker mark until `stop` is set, and then withdraws it (if that fails, it expires)."""

    def withdraw() -> None:
        _log.info("stopping: finishing the chunks that were begun")
        presence.withdraw(mark)

    away = (redis.RedisError,)
    announce = partial(presence.announce, mark)
    return Loop("presence", announce, period_s=REFRESH_S, expected=away, stop=stop, at_end=withdraw)
