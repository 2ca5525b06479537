"""The Celery application: policy from `celeryconfig`, addresses from the settings, and how chunks are sent."""

from __future__ import annotations

import time
from bisect import bisect

import redis
from celery import Celery
from kombu.exceptions import OperationalError

import celeryconfig
from tasks.jobs.keys import chunk_id
from tasks.queue import patches
from tasks.settings import Settings
from tasks.store.connections import celery_tls, celery_transport_options, celery_url
from tasks.tracing import NOBODY, Origin
from tasks.wire import Chunk, JobChunk, TextsChunk, write_chunk

TASK = "score"
SENT_AT = "sent_at"
"""The header that says when a chunk was sent, in Unix seconds: the queues' age is read from it."""
_PRIORITY_FROM = (4, 32, 256)
"""The chunks of a job at which its priority falls."""


def create_celery(settings: Settings) -> Celery:
    """An application for either side; only a worker binds the task's body to it."""
    patches.install()
    app = Celery("sentiq", set_as_current=False, fixups=[])
    app.config_from_object("celeryconfig")
    # Not as broker_url and result_backend: there Celery prefers what it finds itself under CELERY_BROKER_URL and
    # CELERY_RESULT_BACKEND, which is spelt as ours are and may be a socket.
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


def _priority(number: int) -> int:
    """Of a job's chunk: the first four before all others, then the next up to 32, up to 256, and the rest."""
    return celeryconfig.PRIORITY_STEPS[bisect(_PRIORITY_FROM, number)]


class ChunkSender:
    """Puts chunks into the queues. Raises redis.RedisError when the broker is away, whatever kombu made of it."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def send_texts(self, texts: list[str], tag: str, origin: Origin = NOBODY) -> None:
        """Texts of callers who wait."""
        self._send(TextsChunk(tag, texts), origin, queue="interactive")

    def send_job_chunk(self, job_id: str, number: int, tag: str, origin: Origin = NOBODY) -> None:
        """A part of a job. A job's first chunks go before the later ones of others: so small jobs overtake large
        ones.
        """
        chunk = JobChunk(tag, job_id, number)
        self._send(chunk, origin, queue="batch", task_id=chunk_id(job_id, number), priority=_priority(number))

    def _send(self, chunk: Chunk, origin: Origin, **options: object) -> None:
        try:
            # No retry here: the caller is told at once, or tries again himself.
            # Without ignore_result, Celery subscribes to each task's result, which nobody waits for.
            # Celery would repeat the arguments in a header, for people; callers' texts are not for them.
            shown = {"headers": {SENT_AT: time.time(), **origin.headers()}, "argsrepr": "(...)", "kwargsrepr": "{}"}
            self._app.send_task(TASK, args=[write_chunk(chunk)], retry=False, ignore_result=True, **shown, **options)
        except OperationalError as error:
            raise redis.ConnectionError("the broker is away") from error
