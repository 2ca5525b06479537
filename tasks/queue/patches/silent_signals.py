"""Keeps Celery from writing past the log.

On signals Celery 5.7.0 writes lines such as `worker: Warm shutdown` straight to the process's output, where all other
lines may be JSON. Our own log says the same (`tasks.work.announcing`). For workers alone: it imports what they are made
of.
"""

from __future__ import annotations

import celery.apps.worker


def _say_nothing(msg: str, f: object = None) -> None:
    pass


def install() -> None:
    """Puts it in place."""
    celery.apps.worker.safe_say = _say_nothing
