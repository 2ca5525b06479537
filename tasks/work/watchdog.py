"""Ends a worker that hangs, so that its chunks are redelivered to others.

Native code may deadlock, and a library may read without a limit. Such a worker still renews its leases
(`tasks.work.leases`), so its chunks would never be redelivered; Celery's own time limits do not work in a pool of
threads. When the watchdog ends it, the same happens as after any death: the worker is restarted, its chunks are
redelivered, and a text that causes the hang is failed alone (`tasks.work.scoring`).

Time is measured in the watchdog's own looks, so that a process that was stopped, or whose machine slept, does not count
as hanging.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from celery import bootsteps

from tasks.background import Loop

LOOK_S = 1.0
LOOP_LIMIT_S = 60.0
"""The longest time between two rounds of the thread that takes chunks.

It comes round every second, and waits at most some 10 s for an answer of Redis."""
CALL_LIMIT_S = 60.0
SLOWEST = 100.0
"""A call of the engine may take CALL_LIMIT_S plus this multiple of the time that it should take.

Beside live callers a job gets only a small part of the processor: at niceness 19, one part in seventy."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Step:
    """A piece of a thread's work that has to end, or to come round, in time."""

    name: str
    limit_s: float
    looks: int = 0
    thread: int = field(default_factory=threading.get_ident)

    def comes_round(self) -> None:
        """Notes that the step makes progress: its time starts anew."""
        self.looks = 0


class Watchdog:
    """Watches the steps under way and the loops in the background. Thread-safe.

    Its own loop is watched by the thread that takes chunks.
    """

    def __init__(self, *, texts_per_s: Callable[[], float]) -> None:
        """`texts_per_s`: returns the engine's rate now, in texts that cost 1."""
        self._texts_per_s = texts_per_s
        self._steps: set[Step] = set()
        self._loops: list[Loop] = []
        self._lock = threading.Lock()
        self.loop = Loop("watchdog", self._look, period_s=LOOK_S)

    def watch(self, *loops: Loop) -> None:
        """Watches loops from now on, even if they are started later."""
        with self._lock:
            self._loops += loops

    def begin(self, name: str, limit_s: float) -> Step:
        """Watches this thread's work from now on, until `end`."""
        step = Step(name, limit_s)
        with self._lock:
            self._steps.add(step)
        return step

    def end(self, step: Step) -> None:
        """Stops watching a step, as it is done."""
        with self._lock:
            self._steps.discard(step)

    @contextmanager
    def engine_call(self, spent: int) -> Iterator[None]:
        """A context for a call of the engine whose texts cost so much."""
        step = self.begin("a call of the engine", CALL_LIMIT_S + SLOWEST * spent / self._texts_per_s())
        try:
            yield
        finally:
            self.end(step)

    def _look(self) -> None:
        with self._lock:
            watched: list[Step | Loop] = [*self._steps, *self._loops]
        for one in watched:
            look_at(one)


def look_at(one: Step | Loop) -> None:
    """Looks at a step or a loop, once every LOOK_S; ends the process if it hangs or its thread is gone."""
    one.looks += 1
    if isinstance(one, Loop) and one.gone:
        _end_process(one, "is gone")
    elif one.thread is not None and one.looks * LOOK_S > one.limit_s:
        _end_process(one, f"has stood still for {one.limit_s:.0f} s")


def _end_process(one: Step | Loop, how: str) -> None:
    try:
        name = f"the loop {one.name}" if isinstance(one, Loop) else one.name
        frame = sys._current_frames().get(one.thread or 0)
        where = "".join(traceback.format_stack(frame)) if frame is not None else "(it has no thread)"
        _log.critical(
            "%s %s: ending this worker, so that another one takes its chunks", name, how, extra={"exception": where}
        )
    finally:
        os._exit(os.EX_SOFTWARE)  # any other exit would wait for the thread that hangs


def watched_loop(watchdog: Watchdog) -> type[bootsteps.StartStopStep]:
    """A step of Celery's consumer that watches the thread that takes chunks.

    It is watched only while it has a connection, as it may look for one for ever.
    """

    class WatchedLoop(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = ("celery.worker.consumer.tasks:Tasks",)

        def __init__(self, consumer: Any, **options: Any) -> None:
            super().__init__(consumer, **options)
            self._step: Step | None = None

        def start(self, consumer: Any) -> None:
            self._step = step = watchdog.begin("the thread that takes chunks", LOOP_LIMIT_S)

            def comes_round() -> None:
                step.comes_round()
                look_at(watchdog.loop)

            # When the connection is lost, Celery removes from its timer what was added since it connected.
            consumer.timer.call_repeatedly(LOOK_S, comes_round)

        def stop(self, _: Any) -> None:
            if self._step is not None:
                watchdog.end(self._step)

        shutdown = stop

    return WatchedLoop
