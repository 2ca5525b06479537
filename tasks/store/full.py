"""Tells a Redis server that refuses to store anything, because its disk or its memory is full, from one that is away.

Such a server still answers what only reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis


def refusal(error: BaseException | None) -> str | None:
    """Why the server stores nothing, if this error, or what it came of, is its refusal; None for any other error."""
    while error is not None:
        # A pipeline puts the command before the server's words.
        kind, _, why = str(error).rpartition(" caused error: ")[2].partition(" ")
        if kind == "OOM" or type(error).__name__ == "OutOfMemoryError":
            return "its memory is full"
        if kind == "MISCONF":
            return "its disk is full" if "No space left" in why else f"it cannot write to its disk ({why})"
        error = error.__cause__
    return None


@contextmanager
def suppressed_refusal() -> Iterator[None]:
    """A context for what need not be stored."""
    try:
        yield
    except redis.RedisError as error:
        if refusal(error) is None:
            raise
