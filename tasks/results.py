"""Chunk results in Celery's result backend, read many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from celery import Celery, states
from celery.exceptions import BackendStoreError


class CeleryResults:
    """`tasks.jobs.ResultBackend` on an application's result backend."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def store(self, task_id: str, result: dict[str, Any]) -> None:
        """Keeps a result; the backend tries again by itself for a while. Raises redis.RedisError like every store of ours."""
        try:
            self._app.backend.store_result(task_id, result, states.SUCCESS)
        except BackendStoreError as error:
            raise redis.ConnectionError("the result backend is away") from error

    def fetch(self, task_ids: Sequence[str]) -> list[dict[str, Any] | None]:
        """Results in the order of the ids, None where there is none, in one round trip."""
        if not task_ids:
            return []
        backend = self._app.backend
        values = backend.mget([backend.get_key_for_task(task_id) for task_id in task_ids])
        return [None if value is None else backend.decode_result(value)["result"] for value in values]

    def forget(self, task_ids: Sequence[str]) -> None:
        """Takes results away."""
        backend = self._app.backend
        for task_id in task_ids:
            backend.delete(backend.get_key_for_task(task_id))
