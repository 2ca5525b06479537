"""The only task, in the form that Celery calls."""

from __future__ import annotations

import time
from typing import Any

import redis
from celery import Celery
from celery.exceptions import Reject

from tasks import metrics
from tasks.queue.app import SENT_AT, TASK, ChunkSender
from tasks.tracing import Tracing, scoring
from tasks.work.leases import Leases
from tasks.work.scoring import LaterVersion, NotStored, Scorer


class ScoreTask:
    """Scores the chunk of a message: counts it, traces it, and renews its lease meanwhile."""

    def __init__(self, scorer: Scorer, leases: Leases, sender: ChunkSender, tracing: Tracing | None) -> None:
        self._scorer = scorer
        self._leases = leases
        self._sender = sender
        self._tracing = tracing

    def bind(self, app: Celery) -> None:
        """Makes this the body of the task in an application."""

        @app.task(name=TASK, bind=True, shared=False)  # type: ignore[untyped-decorator]
        def score(task, chunk):  # type: ignore[no-untyped-def]
            self._run(task.request, chunk)

    def _run(self, request: Any, chunk: object) -> None:
        redelivered = bool((request.delivery_info or {}).get("redelivered"))
        headers = request.headers or {}
        metrics.chunk_begun(headers.get(SENT_AT), time.time(), redelivered=redelivered)
        lease = self._leases.held((request.properties or {}).get("delivery_tag"))
        with lease, scoring(self._tracing, headers, chunk, request.id):
            try:
                try:
                    self._scorer.score(chunk, request.id)
                except LaterVersion:
                    queue = str((request.delivery_info or {}).get("routing_key"))
                    self._sender.send_last(chunk, request.id, queue, headers)
            except (NotStored, redis.RedisError):
                # Back into the queue, for the first worker that reaches Redis. Without Redis this fails too, and the
                # chunk is redelivered by itself.
                raise Reject("not stored", requeue=True) from None
