"""Regular tasks of batch workers: posts callbacks that are due, looks for shifts in streams, and sends lost
chunks of jobs again.
"""

from __future__ import annotations

import logging
import threading
import time

import redis

from tasks.background import Loop
from tasks.jobs.keys import chunk_of
from tasks.jobs.running import RunningJobs
from tasks.models import Model
from tasks.queue.app import ChunkSender
from tasks.queue.queues import queue_name, task_ids
from tasks.queue.turns import Turns
from tasks.store.connections import Client
from tasks.work.callbacks import Callbacks
from tasks.work.shifts import Shifts

REPAIR_S = 5.0
"""Seconds between two searches for lost chunks."""
SETTLE_S = 2.0
"""Seconds after which a chunk that is still found nowhere is lost; before, it may be on its way between two places."""
_LOCK = "sentiq:upkeep"
_LOCK_MS = int(900 * REPAIR_S)

_log = logging.getLogger(__name__)


class Upkeep:
    """Does the regular tasks; every batch worker has one, and the first one of a model to come does the work."""

    def __init__(
        self,
        jobs: RunningJobs,
        callbacks: Callbacks,
        sender: ChunkSender,
        turns: Turns,
        broker: Client,
        model: Model,
        shifts: Shifts,
    ) -> None:
        self._jobs = jobs
        self._callbacks = callbacks
        self._sender = sender
        self._turns = turns
        self._broker = broker
        self._model = model
        self._shifts = shifts

    def loops(self, stop: threading.Event) -> list[Loop]:
        """The loops that do the work until `stop` is set; callbacks have their own, as receivers may be slow."""
        away = (redis.RedisError,)
        return [
            Loop("callbacks", self._callbacks.run_due, period_s=1.0, expected=away, stop=stop),
            Loop("shifts", self._shifts.look, period_s=0.5, expected=away, stop=stop),
            Loop("repair", self.repair, period_s=REPAIR_S, expected=away, stop=stop),
        ]

    def repair(self, *, settle_s: float = SETTLE_S) -> int:
        """Sends chunks again that neither wait for their turn nor are in a queue or held by a worker; returns their
        number. Also lets turns go on that stand still.

        Chunks get lost if a connection breaks after the broker has taken a message out of its queue and before it has
        noted which worker has it. A chunk that was not lost after all still counts once.
        """
        lock = f"{_LOCK}{self._model.suffix}"
        # The lock expires just before this worker's next turn.
        if not self._broker.set(lock, 1, nx=True, px=_LOCK_MS):
            if self._broker.pttl(lock) > _LOCK_MS:  # the server's clock was set back
                self._broker.pexpire(lock, _LOCK_MS)
            return 0
        for turn in self._turns.choose():
            self._turns.send(turn)
        lost = self._missing()
        if not lost:
            return 0
        time.sleep(settle_s)
        lost &= self._missing()
        for task_id in sorted(lost):
            _log.warning("chunk %s was lost; sending it again", task_id)
            self._sender.send_job_chunk(*chunk_of(task_id))
        return len(lost)

    def _missing(self) -> set[str]:
        names = (*self._model.names, None) if self._model.is_default else self._model.names
        if not (expected := self._jobs.expected(self._model.analysis, names)):
            return expected
        queues = [queue_name(role, self._model) for role in self._turns.queues()]
        return expected - self._turns.waiting() - task_ids(self._broker, *queues)
