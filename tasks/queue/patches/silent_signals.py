"""Keeps Celery from writing to the output without the log.

On signals, Celery 5.7.0 writes lines such as `worker: Warm shutdown` directly to the process's output, where all other
lines may be JSON. Our own log says the same (`tasks.work.announcing`). For workers only, as it imports Celery's worker.
"""

from __future__ import annotations

import celery.apps.worker


def _say_nothing(msg: str, f: object = None) -> None:
    pass


def install() -> None:
    """Installs the patch."""
    celery.apps.worker.safe_say = _say_nothing
