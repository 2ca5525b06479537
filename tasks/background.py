"""Loops in the background of a process, each on a named thread that survives every error.

An error is logged as `tasks.discretion` allows (its kind and its frames, no user's text), counted, and followed by a
pause that grows with each error in a row. In a worker, the watchdog ends the process if a loop hangs or its thread has
ended (`tasks.work.watchdog`). Works alike under threads and under gevent's patched threading.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from tasks.discretion import told

ROUND_LIMIT_S = 60.0
"""The longest time, in seconds, that a round of a loop may take unless the loop sets another."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 0.5
_GAUGE_EVERY_S = 1.0

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Loop:
    """Calls a function again and again on a thread of its own. Thread-safe."""

    def __init__(
        self,
        name: str,
        step: Callable[[], object],
        *,
        period_s: float = 0.0,
        limit_s: float | None = None,
        expected: tuple[type[Exception], ...] = (),
        stop: threading.Event | None = None,
        at_end: Callable[[], object] | None = None,
    ) -> None:
        """Makes a loop without starting it.

        Args:
            name: the name of the loop, of its thread and of its metrics series; one of `tasks.metrics.LOOPS`.
            step: one round. If it takes long, like that of a listener, it calls `comes_round` now and then.
            period_s: seconds between the end of a round and the beginning of the next.
            limit_s: seconds after which a round counts as hanging; ROUND_LIMIT_S by default, infinite for a step that
                may wait for ever.
            expected: errors that are logged in one line at level `warning`, for example when Redis is away. All other
                errors are defects.
            stop: ends the loop when it is set.
            at_end: called once, when the loop has ended.
        """
        self.name = name
        self.limit_s = period_s + (ROUND_LIMIT_S if limit_s is None else limit_s)
        """The longest time, in seconds, between two calls of `comes_round`."""
        self.looks = 0
        """How often the watchdog has looked since the loop last came round."""
        self._step = step
        self._period_s = period_s
        self._expected = expected
        self._stop = stop or threading.Event()
        self._at_end = at_end
        self._errors = 0
        self._gauge_at = -math.inf
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread unless it is running; also restarts a thread that has ended.

        A web process calls this when the loop is first needed: a thread started before Gunicorn forks would not exist
        in its workers.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self.looks = 0
                thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                thread.start()
                self._thread = thread  # not earlier: before it runs, it would count as gone

    def stop(self) -> None:
        """Ends the loop for good once its present round is over; a step that takes long looks at `stopped`."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Whether the loop was told to end."""
        return self._stop.is_set()

    @property
    def thread(self) -> int | None:
        """The identifier of the thread; None before the loop was started."""
        return None if self._thread is None else self._thread.ident

    @property
    def gone(self) -> bool:
        """Whether the loop was started and not stopped, but its thread has ended."""
        return self._thread is not None and not self._thread.is_alive() and not self._stop.is_set()

    def comes_round(self) -> None:
        """Notes that the loop works: the limit of the round starts anew, and the next error counts as the first."""
        self._begin_round()
        if self._errors:
            _log.info("the loop %s goes on after %d errors", self.name, self._errors)
            self._errors = 0

    def _run(self) -> None:
        while not self._stop.is_set():
            self._begin_round()
            pause_s = self._period_s
            if self._survived(self._step):
                self.comes_round()
            else:
                growing_s = _FIRST_PAUSE_S * 2 ** min(self._errors - 1, 10)
                pause_s = max(pause_s, min(_LONGEST_PAUSE_S, growing_s))
            if pause_s:
                self._stop.wait(pause_s)
        if self._at_end is not None:
            self._survived(self._at_end)

    def _survived(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except (Exception, SystemExit) as error:  # of any kind; a SystemExit would end the thread silently
            if self._stop.is_set() and isinstance(error, self._expected):
                return False  # what it needs may end before it
            self._errors += 1
            with contextlib.suppress(Exception):  # even an error while logging must not end the loop
                self._tell(error)
            return False
        return True

    def _begin_round(self) -> None:
        self.looks = 0
        if (now := time.monotonic()) - self._gauge_at > _GAUGE_EVERY_S and math.isfinite(self.limit_s):
            self._gauge_at = now
            _count(lambda metrics: metrics.BACKGROUND_ROUND.labels(self.name).set_to_current_time())

    def _tell(self, error: BaseException) -> None:
        expected = isinstance(error, self._expected)
        kind = "expected" if expected else "defect"
        _count(lambda metrics: metrics.BACKGROUND_ERRORS.labels(self.name, kind).inc())
        # Logs the first, second, fourth, eighth, ... error in a row.
        if self._errors & (self._errors - 1) == 0:
            how_often = "" if self._errors == 1 else f", {self._errors} times in a row"
            level, trace = (logging.WARNING, None) if expected else (logging.ERROR, error)
            _log.log(level, "the loop %s failed%s: %s", self.name, how_often, told(error), exc_info=trace)


def _count(change: Callable[[Any], object]) -> None:
    """Changes a metric, if this process has loaded the metrics.

    It never imports them: a loop also runs in Gunicorn's master, which must not load what its workers have to load in
    patched form. And no trouble with metrics, such as a full disk or a half-finished import, may end a loop.
    """
    if (metrics := sys.modules.get("tasks.metrics")) is not None:
        with contextlib.suppress(Exception):
            change(metrics)


def aside(name: str, work: Callable[[], T]) -> Future[T]:
    """Runs a function once on a thread of its own; the future has what it returns or raises."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # of any kind: it is raised again where the future is awaited
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
