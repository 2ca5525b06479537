"""What has to be done now and then, whoever does it: callbacks that are due, and jobs whose chunks got lost."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import redis

from tasks.app import ChunkSender
from tasks.callbacks import Callbacks
from tasks.connections import Client
from tasks.jobs import chunk_id
from tasks.jobstore import JobStore
from tasks.queues import delivered, waiting

STALLED_S = 30.0
"""A job of which nothing was done for so long, while its queue is empty, has lost a message."""
_LOCK = "sentiq:upkeep"

_log = logging.getLogger(__name__)


class Upkeep:
    """Every batch worker has one; whichever comes first does it."""

    def __init__(self, jobs: JobStore, callbacks: Callbacks, sender: ChunkSender, broker: Client, *, tag: str) -> None:
        self._jobs = jobs
        self._callbacks = callbacks
        self._sender = sender
        self._broker = broker
        self._tag = tag

    def start(self, stop: threading.Event) -> None:
        """Does its work until `stop` is set: callbacks on a thread of their own, for receivers may be slow."""
        for name, step, period_s in (("callbacks", self._callbacks.run_due, 1.0), ("repair", self.repair, STALLED_S / 2)):
            threading.Thread(target=_repeat, args=(step, period_s, stop), name=name, daemon=True).start()

    def repair(self, *, stalled_s: float = STALLED_S) -> int:
        """Sends chunks again that no queue and no worker has; returns how many.

        The broker takes a message out of its queue before it notes who has it: a connection that breaks in between loses it.
        """
        if not self._broker.set(_LOCK, 1, nx=True, px=max(1, int(stalled_s * 500))) or waiting(self._broker, "batch"):
            return 0
        sent = 0
        for job_id in self._jobs.unfinished():
            for number in self._jobs.overdue(job_id, older_than_s=stalled_s):
                if not delivered(self._broker, chunk_id(job_id, number)):
                    _log.warning("chunk %s got lost; sending it again", chunk_id(job_id, number))
                    self._sender.send_job_chunk(job_id, number, self._tag)
                    sent += 1
        return sent


def _repeat(step: Callable[[], int], period_s: float, stop: threading.Event) -> None:
    while not stop.wait(period_s):
        try:
            step()
        except redis.RedisError:
            _log.warning("Redis away: upkeep later")
        except Exception:  # a defect must not end what has to be done for as long as the worker lives
            _log.exception("upkeep failed")
