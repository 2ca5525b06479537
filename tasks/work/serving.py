"""Runs a worker under Celery, with steps for when it begins to take chunks and for when it has to stop."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from tasks.queue.patches import full_server, silent_signals
from tasks.work.roles import Role

Steps = Sequence[Callable[[], object]]


class Worker:
    """Serves the queue of a role, with a Celery application that has the task."""

    def __init__(
        self,
        app: Celery,
        role: Role,
        worker_id: str,
        *,
        queue: str,
        heartbeats: bool,
        when_ready: Steps,
        when_told_to_end: Steps,
    ) -> None:
        """Makes the worker without starting it.

        Args:
            app: the Celery application.
            role: the worker's role.
            worker_id: the id in its worker mark.
            queue: the name of the queue that it serves.
            heartbeats: whether to send heartbeats, for monitoring: without any events, Celery also ignores Flower's
                request for events of tasks.
            when_ready: called in this order when the worker begins to take chunks.
            when_told_to_end: called in this order at SIGTERM, in its handler.
        """
        self._app = app
        self._role = role
        self._id = worker_id
        self._queue = queue
        self._heartbeats = heartbeats
        self._when_ready = when_ready
        self._when_told_to_end = when_told_to_end

    def run(self) -> None:
        """Takes chunks until SIGTERM, and then finishes those that were begun."""
        worker_ready.connect(self._ready, weak=False)
        worker_shutting_down.connect(self._told_to_end, weak=False)
        full_server.install()
        _keep_the_log()
        self._app.worker_main(self._arguments())

    def _ready(self, **_: object) -> None:
        for step in self._when_ready:
            step()

    def _told_to_end(self, **_: object) -> None:
        for step in self._when_told_to_end:
            step()

    def _arguments(self) -> list[str]:
        arguments = ["--quiet", "worker", "--loglevel", "WARNING", "--hostname", f"{self._id}@%h"]
        arguments += ["--queues", self._queue, "--pool", "threads", "--concurrency", str(self._role.threads)]
        # Workers do not talk to each other: gossip and mingle would be Redis traffic without a reader.
        arguments += ["--without-gossip", "--without-mingle"]
        return arguments + (["--heartbeat-interval", "10"] if self._heartbeats else ["--without-heartbeat"])


def _keep_the_log() -> None:
    # Celery sets the root logger's level unless something is connected to this signal.
    setup_logging.connect(lambda **_: None, weak=False)
    silent_signals.install()
    # Celery warns workers that run as root (as in most containers) that a pickled message could run any code. Pickle is
    # never accepted here.
    warnings.filterwarnings("ignore", category=SecurityWarning)
