"""A check that every key of Sentiq in Redis has a TTL."""

from __future__ import annotations

import re
import time
from typing import Any

_QUEUES = ("interactive", "batch")


def _is_kombus(key: str) -> bool:
    """Whether a key belongs to kombu: bindings, the lists of messages (one per priority), unacknowledged messages, and
    answers to `inspect` that came when whoever asked had left.
    """
    if key.endswith(".reply.celery.pidbox"):
        return True
    # The name of a model other than the default one follows the @, that of another analysis the plus.
    queue = re.split("[@+]", key.partition("\x06\x16")[0])[0]
    return key.startswith(("_kombu.binding", "unacked")) or queue in _QUEUES


def keys_without_end(client: Any) -> list[str]:
    """Keys that have no TTL now and still have none half a second later.

    The delay is needed as a key and its TTL are not always set by one command.
    """
    suspects = _without_ttl(client)
    until = time.monotonic() + 0.5
    while suspects and time.monotonic() < until:
        time.sleep(0.05)
        still = set(_without_ttl(client))
        suspects = [key for key in suspects if key in still]
    return suspects


def _without_ttl(client: Any) -> list[str]:
    keys: list[Any] = [key for key in client.scan_iter(count=1000) if not _is_kombus(key.decode())]
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.ttl(key)
    return [key.decode() for key, ttl in zip(keys, pipe.execute(), strict=True) if ttl == -1]
