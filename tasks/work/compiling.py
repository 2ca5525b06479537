"""Says how far a worker is with compiling its model: in Redis, for `/health` and the launcher, and in the log."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from tasks.background import Loop
from tasks.store.compilations import RENEW_S, Compilations
from tasks.wire import CompilingMark

_log = logging.getLogger("tasks.worker")


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    share: float | None


class CompilingSteps:
    """The `progress` of `model.engines.registry.load_engine`. It does nothing before it is told of a first step."""

    def __init__(
        self,
        compilations: Compilations,
        *,
        worker_id: str,
        role: str,
        tag: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compilations = compilations
        self._id, self._role, self._tag = worker_id, role, tag
        self._clock = clock
        self._began = 0.0
        self._step: _Step | None = None
        self._stop = threading.Event()
        self._loop: Loop | None = None

    def __call__(self, step: str, share: float | None) -> None:
        """Notes a step, and the part of it that is done."""
        begun, self._step = self._step, _Step(step, share)
        if begun is None:
            self._began = self._clock()
            _log.info("compiling the model for this machine (%s); /health says how far it is", step)
            away = (redis.RedisError,)
            # No limit, and so no time of the last round among the metrics: it would grow old when all is done.
            self._loop = Loop(
                "compiling", self._tell, period_s=RENEW_S, limit_s=math.inf, expected=away, stop=self._stop
            )
            self._loop.start()
        elif begun.name != step:
            _log.debug("compiling: %s", step)

    def _tell(self) -> None:
        assert self._step is not None
        seconds = round(self._clock() - self._began, 1)
        self._compilations.tell(
            CompilingMark(self._id, self._role, self._tag, self._step.name, self._step.share, seconds)
        )

    def end(self) -> None:
        """Takes back what was told, because the worker is ready soon."""
        if self._loop is None:
            return
        self._stop.set()
        _log.info("compiled after %.0f s", self._clock() - self._began)
        try:
            self._compilations.withdraw(self._id)
        except redis.RedisError:
            pass  # the mark expires by itself
