"""Chunk results in Celery's result backend, read many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from celery import Celery

from tasks.store.connections import Client
from tasks.wire import ChunkResult, read_result, write_result


class ResultBackend(Protocol):
    """Where the outcomes of chunks are kept by task id."""

    def store(self, task_id: str, result: ChunkResult) -> None:
        """Keeps a result; a second one under the same id changes nothing that matters."""

    def fetch(self, task_ids: Sequence[str]) -> list[ChunkResult | None]:
        """Results in the order of the ids, None where there is none."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Takes results away."""


class CeleryResults:
    """A `ResultBackend` in the form and under the keys of an application's result backend, which any client of Celery
    reads.

    Not by the backend itself: that asks for an earlier result first, publishes each to nobody, and packs it slowly.
    Raises redis.RedisError like every store of ours.
    """

    def __init__(self, app: Celery, client: Client) -> None:
        """`client`: of the result backend's server."""
        self._key = app.backend.get_key_for_task
        self._ttl_s = int(app.conf.result_expires)
        self._client = client

    def store(self, task_id: str, result: ChunkResult) -> None:
        """Keeps a result, unless there is one."""
        self._client.set(self._key(task_id), write_result(task_id, result), ex=self._ttl_s, nx=True)

    def fetch(self, task_ids: Sequence[str]) -> list[ChunkResult | None]:
        """Results in the order of the ids, None where there is none, in one round trip."""
        if not task_ids:
            return []
        values = self._client.mget([self._key(task_id) for task_id in task_ids])
        return [None if value is None else read_result(value) for value in values]

    def forget(self, task_ids: Sequence[str]) -> None:
        """Takes results away."""
        if task_ids:
            self._client.delete(*[self._key(task_id) for task_id in task_ids])
