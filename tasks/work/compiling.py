"""Says how far a worker is with compiling its model: in Redis, for `/health` and the launcher, and in the log."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable

import redis
from msgspec.structs import replace

from tasks.background import Loop
from tasks.store.compilations import RENEW_S, Compilations
from tasks.wire import CompilingMark

_log = logging.getLogger("tasks.worker")


class CompilingSteps:
    """The `progress` of `tasks.loading.load`. It does nothing before it is told of a first step."""

    def __init__(
        self,
        compilations: Compilations,
        first: CompilingMark,
        *,
        at_first: Callable[[], object] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Makes it.

        Args:
            compilations: where it is told.
            first: what is told of the worker, without a step.
            at_first: called at the first step.
            clock: the time in seconds.
        """
        self._compilations = compilations
        self._mark = first
        self._at_first = at_first
        self._clock = clock
        self._began = 0.0
        self._stop = threading.Event()
        self._loop: Loop | None = None

    def __call__(self, step: str, share: float | None) -> None:
        """Notes a step, and the part of it that is done."""
        before, self._mark = self._mark.step, replace(self._mark, step=step, share=share)
        if self._loop is None:
            self._began = self._clock()
            self._at_first()
            _log.info("this machine has no compiled form of the model yet: %s; /health says how far it is", step)
            self._loop = Loop(
                "compiling",
                self._tell,
                period_s=RENEW_S,
                limit_s=math.inf,  # and so no metric of its last round, which would grow old when all is done
                expected=(redis.RedisError,),
                stop=self._stop,
                at_end=lambda: self._compilations.withdraw(self._mark.id),
            )
            self._loop.start()
        elif step != before:
            _log.debug("compiling: %s", step)

    def _tell(self) -> None:
        self._compilations.tell(replace(self._mark, seconds=round(self._clock() - self._began, 1)))

    def end(self) -> None:
        """Takes back what was told."""
        if self._loop is not None:
            self._stop.set()
            _log.info("compiling, or waiting for it, took %.0f s", self._clock() - self._began)
