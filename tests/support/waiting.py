"""Waits for facts, never for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx
import redis

T = TypeVar("T")


def wait_until(fact: Callable[[], T | None], *, what: str, timeout_s: float = 30.0) -> T:
    """Waits until `fact` returns something true, and returns that. An unreachable service counts as not true yet.

    Args:
        fact: called again and again.
        what: the fact in words, for the error message.
        timeout_s: the longest wait, in seconds.

    Raises:
        AssertionError: the fact did not become true in time.
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
