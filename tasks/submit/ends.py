"""Notifies callers that wait for a job when it ends.

A notification is only a hint and may be lost: waiting callers also look into the job store now and then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tasks.background import Loop
from tasks.jobs.keys import ENDED
from tasks.store.client import name_of
from tasks.store.connections import Client

_LOOK_S = 5.0
"""Seconds between two checks whether the listener's connection is still alive."""


class JobEnds:
    """Listens for the ends of jobs, from the first caller on; a web process has one."""

    def __init__(self, client: Client) -> None:
        """`client`: made with `blocking=True` and a timeout of at least `_LOOK_S`."""
        self._client = client
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._loop = Loop("job-ends", self._listen, expected=(redis.RedisError,))

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set if the job ends from now on."""
        event = threading.Event()
        with self._lock:
            self._waiting.setdefault(job_id, set()).add(event)
        self._loop.start()
        try:
            yield event
        finally:
            with self._lock:
                events = self._waiting[job_id]
                events.remove(event)
                if not events:
                    del self._waiting[job_id]

    def close(self) -> None:
        """Stops listening, _LOOK_S from now at the latest."""
        self._loop.stop()

    def _listen(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(ENDED)
            while not self._loop.stopped:
                message = channel.get_message(timeout=_LOOK_S)
                if message is not None:
                    self._tell(name_of(message["data"]))
                else:
                    channel.ping()
                self._loop.comes_round()

    def _tell(self, job_id: str) -> None:
        with self._lock:
            for event in self._waiting.get(job_id, ()):
                event.set()
