"""A worker under Celery: how it is run, what is done when it takes chunks, and when it is told to end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down

from tasks.queue.patches import silent_signals
from tasks.work.roles import Role

Steps = Sequence[Callable[[], object]]


class Worker:
    """Serves the queue of a role on an application to which the task is bound."""

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
        """Does nothing yet.

        Args:
            queue: the name of the queue that it serves.
            heartbeats: somebody watches. Without any kind of event, Celery ignores Flower's wish for those of tasks
                too.
            when_ready: done in this order when chunks are taken.
            when_told_to_end: done in this order at SIGTERM, in its handler.
        """
        self._app = app
        self._role = role
        self._id = worker_id
        self._queue = queue
        self._heartbeats = heartbeats
        self._when_ready = when_ready
        self._when_told_to_end = when_told_to_end

    def run(self) -> None:
        """Takes chunks until SIGTERM, and ends those that were begun."""
        worker_ready.connect(self._ready, weak=False)
        worker_shutting_down.connect(self._told_to_end, weak=False)
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
        # Workers have nothing to tell each other; each of these would be Redis traffic for no reader.
        arguments += ["--without-gossip", "--without-mingle"]
        return arguments + (["--heartbeat-interval", "10"] if self._heartbeats else ["--without-heartbeat"])


def _keep_the_log() -> None:
    # Celery would set the root logger's level; what listens here keeps it from that.
    setup_logging.connect(lambda **_: None, weak=False)
    silent_signals.install()
    # Celery warns a worker that runs as root (as in most containers): pickle would let a message run anything. We never
    # accept pickle.
    warnings.filterwarnings("ignore", category=SecurityWarning)
