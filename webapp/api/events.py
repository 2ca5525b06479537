"""A job's progress as server-sent events. A listener occupies a greenlet, not a thread, so it costs little; but it also
occupies one of the process's connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson

from tasks.errors import JobNotFound, ServiceUnavailable
from tasks.jobs.job import TERMINAL, Job
from tasks.submit.jobs import JobService
from webapp.server.stopping import stopping

_HEARTBEAT_S = 15.0
"""Proxies close connections that were silent for a minute or so."""
_LOOK_S = 1.0
MOST_LISTENERS = 1000
"""The most listeners of one process: half of its connections."""


class Listener:
    """Somebody who listens to a job or to a stream."""

    __slots__ = ("ended",)

    def __init__(self) -> None:
        self.ended = False
        """Whether the stream has to end, because others need its place. Its caller will connect again."""


class Listeners:
    """The listeners of a process. When there are too many, one more ends the oldest stream of whichever caller has
    most, maybe of the same.
    """

    def __init__(self, most: int = MOST_LISTENERS) -> None:
        self._most = most
        self._of: dict[str, dict[Listener, None]] = {}

    @contextmanager
    def place(self, caller: str) -> Iterator[Listener]:
        """A place for a caller's stream, as long as it lasts."""
        listener = Listener()
        self._of.setdefault(caller, {})[listener] = None
        if sum(map(len, self._of.values())) > self._most:
            greediest = max(self._of, key=lambda name: len(self._of[name]))
            oldest = next(iter(self._of[greediest]))
            oldest.ended = True
            self._leave(greediest, oldest)
        try:
            yield listener
        finally:
            self._leave(caller, listener)

    def _leave(self, caller: str, listener: Listener) -> None:
        listeners = self._of.get(caller, {})
        listeners.pop(listener, None)
        if not listeners:
            self._of.pop(caller, None)


def events(
    jobs: JobService, job_id: str, revision: int, body: Callable[[Job], dict[str, object]], listener: Listener
) -> Iterator[bytes]:
    """Yields `progress` for each change after this revision, and `end` when the job has ended. Each event holds the
    whole job, so missing one does no harm.
    """
    yield b"retry: 1000\n\n"
    said_at = time.monotonic()
    while not (stopping.is_set() or listener.ended):
        try:
            job = jobs.changed(job_id, revision, _LOOK_S)
        except ServiceUnavailable:
            time.sleep(_LOOK_S)
            continue
        except JobNotFound:
            return
        if job is not None:
            revision, ended = job.revision, job.status in TERMINAL
            name = "end" if ended else "progress"
            yield f"event: {name}\nid: {revision}\ndata: ".encode() + orjson.dumps(body(job)) + b"\n\n"
            if ended:
                return
            said_at = time.monotonic()
        elif time.monotonic() - said_at > _HEARTBEAT_S:
            said_at = time.monotonic()
            yield b": still here\n\n"
