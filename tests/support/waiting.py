"""Waiting for a fact, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
import redis

T = TypeVar("T")


def wait_until(fact: Callable[[], T | None], *, what: str, timeout_s: float = 30.0) -> T:
    """Returns what `fact` returns once that is true. A service that cannot be reached yet is a fact that is not there
    yet.

    Raises:
        AssertionError: it did not come true; the message names it.
    """
    until = time.monotonic() + timeout_s
    while True:
        reason = ""
        try:
            if value := fact():
                return value
        except (httpx.TransportError, redis.RedisError) as error:
            reason = f" (last: {type(error).__name__}: {error})"
        if time.monotonic() > until:
            raise AssertionError(f"waited {timeout_s:g} s in vain for {what}{reason}")
        time.sleep(0.02)
