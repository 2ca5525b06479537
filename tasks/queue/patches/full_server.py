"""Keeps a worker alive while its broker refuses to store anything, because its disk or its memory is full.

Celery 5.7.0 and kombu 5.7.0 take that answer for an error of the program, which ends the worker. As an error of the
connection, it makes Celery connect again, and the broker delivers again what could not be acknowledged. For workers
only: a web process says at once that the server is full.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import redis
from celery.worker import state
from kombu.transport.redis import Channel

from tasks.store.full import refusal

original = Channel._get_pool

PAUSE_S = 1.0
"""Seconds before Celery connects again: it would do so five times a second."""


@cache
def _patient(kind: type[Any]) -> type[Any]:
    class Patient(kind):  # type: ignore[misc]
        def read_response(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().read_response(*args, **kwargs)
            except redis.ResponseError as error:
                if refusal(error) is None:
                    raise
                self.disconnect()
                if not (state.should_stop or state.should_terminate):
                    time.sleep(PAUSE_S)
                raise redis.ConnectionError(f"the server refuses to store: {error}") from error

    return Patient


def _get_pool(self: Any, asynchronous: bool = False) -> Any:
    pool = original(self, asynchronous)
    pool.connection_class = _patient(pool.connection_class)
    return pool


def install() -> None:
    """Installs the patch."""
    Channel._get_pool = _get_pool
