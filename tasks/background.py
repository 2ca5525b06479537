"""Loops that run in the background of a process: each on a named thread that outlives every error.

An error is logged as `tasks.discretion` allows (its kind and its frames, no user's text), counted, and followed by a
pause that grows while errors follow each other. In a worker the watchdog ends the process if a loop hangs or its thread
is gone (`tasks.work.watchdog`). Works alike under threads and under gevent's patched threading.
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
"""A loop comes round within this time, if it does not ask for another."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 0.5
_GAUGE_EVERY_S = 1.0

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Loop:
    """Calls `step` again and again on a thread of its own. Thread-safe."""

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
        """Starts nothing.

        Args:
            name: of the loop, its thread and its series in the metrics; one of `tasks.metrics.LOOPS`.
            step: one round. One that goes on for long, such as a listener's, calls `comes_round` now and then.
            period_s: seconds between the end of a round and the next.
            limit_s: a round that takes longer hangs; ROUND_LIMIT_S if not given, infinite for a step that may wait for
                ever.
            expected: errors that are told in one line at level `warning`, such as that Redis is away. All others are
                defects.
            stop: when it is set, the loop ends.
            at_end: called once, when the loop has ended.
        """
        self.name = name
        self.limit_s = period_s + (ROUND_LIMIT_S if limit_s is None else limit_s)
        """From one round's beginning or end to the next's."""
        self.looks = 0
        """The watchdog's looks since the loop last came round."""
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
        """Starts the thread, unless it runs; also again, if it is gone.

        In a web process: when the loop is first needed, for a thread that was started before Gunicorn forks would not
        exist in its workers.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self.looks = 0
                thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                thread.start()
                self._thread = thread  # not before it runs: it would pass for gone

    @property
    def thread(self) -> int | None:
        """The thread's identifier; None before the loop was started."""
        return None if self._thread is None else self._thread.ident

    @property
    def gone(self) -> bool:
        """It was started and not stopped, and has no thread."""
        return self._thread is not None and not self._thread.is_alive() and not self._stop.is_set()

    def comes_round(self) -> None:
        """All is well: the time of the round begins anew, and the next error is the first one again."""
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
        except (Exception, SystemExit) as error:  # of any kind; a thread ends by SystemExit without a word
            self._errors += 1
            with contextlib.suppress(Exception):  # not even an error's own text may end the loop
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
        # The first, second, fourth, eighth... one in a row.
        if self._errors & (self._errors - 1) == 0:
            how_often = "" if self._errors == 1 else f", {self._errors} times in a row"
            level, trace = (logging.WARNING, None) if expected else (logging.ERROR, error)
            _log.log(level, "the loop %s failed%s: %s", self.name, how_often, told(error), exc_info=trace)


def _count(change: Callable[[Any], object]) -> None:
    """Changes a metric, if this process has any.

    Never imports them: a loop runs in Gunicorn's master, which must not load what its workers are to load patched. And
    whatever is wrong with them, such as a full disk or an import that is under way, is no reason to end a loop.
    """
    if (metrics := sys.modules.get("tasks.metrics")) is not None:
        with contextlib.suppress(Exception):
            change(metrics)


def aside(name: str, work: Callable[[], T]) -> Future[T]:
    """Does something once on a thread of its own; what it returns, or raises, is in the future."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # of any kind: whoever waits is told
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
