"""Tells callers who wait for a job that it has ended. A hint: the job store is the truth, and whoever waits looks there
now and then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from tasks.background import Loop
from tasks.jobs.keys import ENDED
from tasks.store.connections import Client

_LOOK_S = 5.0
"""The listener asks so often whether its connection still lives."""


class JobEnds:
    """One for each web process; it listens from the first caller on."""

    def __init__(self, client: Client) -> None:
        """`client`: made with `blocking=True`, for a wait of `_LOOK_S`."""
        self._client = client
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._loop = Loop("job-ends", self._listen, expected=(redis.RedisError,))

    @contextmanager
    def watch(self, job_id: str) -> Iterator[threading.Event]:
        """An event that is set when the job ends, if it ends from now on."""
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

    def _listen(self) -> None:
        with self._client.pubsub(ignore_subscribe_messages=True) as channel:
            channel.subscribe(ENDED)
            while True:
                message = channel.get_message(timeout=_LOOK_S)
                if message is not None:
                    self._tell(message["data"].decode())
                else:
                    channel.ping()
                self._loop.comes_round()

    def _tell(self, job_id: str) -> None:
        with self._lock:
            for event in self._waiting.get(job_id, ()):
                event.set()
