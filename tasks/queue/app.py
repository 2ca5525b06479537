"""Makes the Celery application, from `celeryconfig` and the addresses in the settings, and sends chunks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import redis
from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

import celeryconfig
from tasks.jobs.keys import chunk_id
from tasks.models import Model, each_once
from tasks.queue import patches
from tasks.queue.queues import queue_name
from tasks.settings import Settings
from tasks.store.connections import celery_tls, celery_transport_options, celery_url
from tasks.tracing import NOBODY, Origin
from tasks.wire import JobChunk, TextsChunk, write_chunk

TASK = "score"
SENT_AT = "sent_at"
"""The header with the time when a chunk was sent, in Unix seconds; the age of the queues is computed from it."""
_PRIORITY = celeryconfig.PRIORITY_STEPS[-1]
"""Of all jobs' chunks: the lowest, so that chunks with other priorities, of the version before, are not held up."""
_FIRST_PRIORITY = celeryconfig.PRIORITY_STEPS[-2]
"""Of chunks with texts for streams."""


def create_celery(settings: Settings) -> Celery:
    """Makes the application, for web processes and for workers; only a worker adds the task's body to it."""
    patches.install()
    app = Celery("sentiq", set_as_current=False, fixups=[])
    app.config_from_object("celeryconfig")
    models = each_once(settings.served)
    app.conf.task_queues = tuple(Queue(queue_name(q.name, model)) for model in models for q in celeryconfig.task_queues)
    app.conf.task_default_queue = queue_name(celeryconfig.task_default_queue, models[0])
    # Not as broker_url and result_backend: for these, Celery prefers the environment's CELERY_BROKER_URL and
    # CELERY_RESULT_BACKEND, which are in the form of our settings and may name a socket.
    broker = celery_url(settings.broker_url)
    app.conf.update(broker_read_url=broker, broker_write_url=broker, result_expires=settings.job_ttl)
    app.conf.broker_transport_options = app.conf.broker_transport_options | celery_transport_options(
        settings.broker_url
    )
    app.conf.result_backend_transport_options = celery_transport_options(settings.results_url)
    app.conf.update(
        broker_use_ssl=celery_tls(settings.broker_url), redis_backend_use_ssl=celery_tls(settings.results_url)
    )
    app.backend_cls = celery_url(settings.results_url)
    return app


class ChunkSender:
    """Puts chunks into a model's queues. Raises redis.RedisError when the broker is away, not kombu's own error."""

    def __init__(self, app: Celery, model: Model) -> None:
        self._app = app
        self._tag = model.tag
        self._interactive, self._batch = (queue_name(queue.name, model) for queue in celeryconfig.task_queues)

    def send_texts(self, texts: list[str], origin: Origin = NOBODY, *, caller: str = "") -> None:
        """Sends texts of waiting callers as one chunk. `caller`: see `TextsChunk`."""
        self._send(write_chunk(TextsChunk(self._tag, texts, caller=caller)), origin, queue=self._interactive)

    def send_job_chunk(
        self, job_id: str, number: int, origin: Origin = NOBODY, *, is_first: bool = False, is_quick: bool = False
    ) -> None:
        """Sends a chunk of a job, whose turn it is (`tasks.queue.turns`). `is_first`: workers take it before
        others, as chunks with texts for streams; `is_quick`: it goes to an interactive worker.
        """
        chunk = write_chunk(JobChunk(self._tag, job_id, number))
        task_id = chunk_id(job_id, number)
        if is_quick:
            self._send(chunk, origin, queue=self._interactive, task_id=task_id)
        else:
            priority = _FIRST_PRIORITY if is_first else _PRIORITY
            self._send(chunk, origin, queue=self._batch, task_id=task_id, priority=priority)

    def send_last(self, message: object, task_id: str, queue: str, headers: Mapping[str, Any]) -> None:
        """Sends a message again that this worker cannot read, to be taken when nothing else waits in its queue.

        If it were given back as it is, it would come again before all messages of a lower priority, for ever.
        """
        last, sent_at = celeryconfig.PRIORITY_STEPS[-1], headers.get(SENT_AT)
        self._send(message, Origin.read(headers), sent_at, queue=queue, task_id=task_id, priority=last)

    def _send(self, message: object, origin: Origin, sent_at: float | None = None, **options: object) -> None:
        try:
            # No retry here: the calling code reports the error at once, or retries itself.
            # Without ignore_result, Celery subscribes to the result of each task, which nobody reads.
            # The last two: Celery would repeat the arguments, with callers' texts, in headers that people may see.
            shown = {
                "headers": {SENT_AT: sent_at or time.time(), **origin.headers()},
                "argsrepr": "(...)",
                "kwargsrepr": "{}",
            }
            self._app.send_task(TASK, args=[message], retry=False, ignore_result=True, **shown, **options)
        except OperationalError as error:
            raise redis.ConnectionError("the broker is away") from error
