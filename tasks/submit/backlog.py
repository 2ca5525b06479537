"""What waits to be scored, by model and caller, for whoever runs the service; and how all of it is given up."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import msgspec
import orjson

import celeryconfig
from tasks.errors import JobNotFound
from tasks.models import DEFAULT, Model
from tasks.queue.app import SENT_AT
from tasks.queue.queues import list_names, queue_name
from tasks.store.connections import Client
from tasks.submit.away import redis_or_unavailable
from tasks.submit.jobs import JobService
from tasks.submit.sender import caller_digest
from tasks.wire import FormatError, TextsChunk, read_chunk

_MESSAGES_AT_ONCE = 50
"""Messages that are in memory at once: each may have hundreds of texts."""


@dataclass(slots=True)
class Waiting:
    """What one caller has waiting for one model: texts of `/predict` in the queue `interactive`, or jobs."""

    queue: str
    model: str
    """The name by which it was asked for."""
    owner: str | None
    """The name of the API key; None if it has none, or the texts of several callers wait together."""
    since: float
    """Since when the oldest of it waits, in Unix seconds."""
    jobs: int = 0
    texts: int = 0


class Backlog:
    """Tells what waits, and gives it up."""

    def __init__(
        self, broker: Client, jobs: JobService, models: Sequence[Model], names: Callable[[], Iterable[str]]
    ) -> None:
        """Makes no connection.

        Args:
            broker: connected to the server of the queues.
            jobs: those that the service keeps.
            models: those whose queues are looked at.
            names: the names of the API keys. Messages have only digests of them.
        """
        self._broker = broker
        self._jobs = jobs
        self._models = models
        self._names = names

    def waiting(self) -> list[Waiting]:
        """What waits, the oldest first. Jobs count with all texts that have no answer yet, also those that a worker has
        taken; of `/predict` what no worker has taken.

        Raises:
            ServiceUnavailable: Redis is away.
        """
        found: dict[tuple[str, str, str | None], Waiting] = {}

        def add(queue: str, model: str, owner: str | None, since: float, *, jobs: int, texts: int) -> None:
            one = found.setdefault((queue, model, owner), Waiting(queue, model, owner, since))
            one.since = min(one.since, since)
            one.jobs += jobs
            one.texts += texts

        with redis_or_unavailable():
            names = {caller_digest([name]): name for name in self._names()}
            for model in self._models:
                for chunk, sent_at in self._chunks(queue_name("interactive", model)):
                    add("interactive", model.name, names.get(chunk.caller), sent_at, jobs=0, texts=len(chunk.texts))
            for job in self._jobs.unfinished():
                asked = job.requested_model or DEFAULT
                add("batch", asked, job.owner, job.created_at, jobs=1, texts=job.total - job.done)
        return sorted(found.values(), key=lambda one: one.since)

    def _chunks(self, queue: str) -> Iterator[tuple[TextsChunk, float]]:
        """The chunks of texts of callers in a queue, each with the time when it was sent."""
        for name in list_names(queue):
            start = 0
            while messages := self._broker.lrange(name, start, start + _MESSAGES_AT_ONCE - 1):
                start += _MESSAGES_AT_ONCE
                for message in messages:
                    try:
                        read = orjson.loads(message)
                        chunk = read_chunk(orjson.loads(b64decode(read["body"]))[0][0])
                        sent_at = float(read["headers"][SENT_AT])
                    except (FormatError, msgspec.MsgspecError, ValueError, LookupError, TypeError):
                        continue  # of another version, or not ours; a worker says more of it
                    if isinstance(chunk, TextsChunk):  # small chunks of streams are in the row of their job
                        yield chunk, sent_at

    def purge(self) -> tuple[int, int]:
        """Cancels all jobs that have not ended and empties the queues; returns how many jobs and messages these were.

        What a worker has taken, it finishes. A caller of `/predict` whose text was in a message gets 202 and the text
        another message, as after a loss. So does a chunk of a job that came in meanwhile (`tasks.work.upkeep`).

        Raises:
            ServiceUnavailable: Redis is away.
        """
        cancelled = 0
        with redis_or_unavailable():
            for job in self._jobs.unfinished():
                try:
                    self._jobs.cancel(job.id)
                    cancelled += 1
                except JobNotFound:
                    pass  # it has expired meanwhile
            names = [
                name
                for model in self._models
                for queue in celeryconfig.task_queues
                for name in list_names(queue_name(queue.name, model))
            ]
            pipe = self._broker.pipeline(transaction=True)
            for name in names:
                pipe.llen(name)
            pipe.delete(*names)
            return cancelled, sum(pipe.execute()[:-1])
