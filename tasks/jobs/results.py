"""Results of chunks in Celery's result backend, read many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from celery import Celery

from tasks.store.connections import Client
from tasks.wire import ChunkResult, read_result, write_result


class ResultBackend(Protocol):
    """Keeps the outcomes of chunks by task id."""

    def key(self, task_id: str) -> str:
        """The key of a result, on the server of the jobs."""

    def store(self, task_id: str, result: ChunkResult) -> None:
        """Stores a result; storing another one under the same id has no effect that matters."""

    def fetch(self, task_ids: Sequence[str]) -> list[ChunkResult | None]:
        """Results in the order of the ids, None where there is none."""

    def forget(self, task_ids: Sequence[str]) -> None:
        """Deletes results."""


class CeleryResults:
    """A `ResultBackend` with the format and keys of a Celery application's own, so that any Celery client can read it.

    It does not go through Celery's backend, which first asks for an earlier result, publishes each result although
    nobody subscribes, and encodes slowly. Raises redis.RedisError when the server is away.
    """

    def __init__(self, app: Celery, client: Client) -> None:
        """`client`: connected to the result backend's server."""
        self._name = app.backend.get_key_for_task
        self._ttl_s = int(app.conf.result_expires)
        self._client = client

    def key(self, task_id: str) -> str:
        """See `ResultBackend`."""
        name: bytes = self._name(task_id)
        return name.decode()

    def store(self, task_id: str, result: ChunkResult) -> None:
        """Stores a result, unless there is one already."""
        self._client.set(self.key(task_id), write_result(task_id, result), ex=self._ttl_s, nx=True)

    def fetch(self, task_ids: Sequence[str]) -> list[ChunkResult | None]:
        """Results in the order of the ids, None where there is none; in one round trip."""
        if not task_ids:
            return []
        values = self._client.mget([self.key(task_id) for task_id in task_ids])
        return [None if value is None else read_result(value) for value in values]

    def forget(self, task_ids: Sequence[str]) -> None:
        """Deletes results."""
        if task_ids:
            self._client.delete(*[self.key(task_id) for task_id in task_ids])
