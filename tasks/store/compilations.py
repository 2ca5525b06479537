"""Which workers compile their model at this moment, before they are ready, and how far they are.

sentiq:compiling:<worker id>   a compiling mark, for TTL_S unless it is renewed
sentiq:compiling               the ids of the workers that have such marks; some may have expired
"""

from __future__ import annotations

from tasks.store.client import name_of
from tasks.store.connections import Client
from tasks.store.full import suppressed_refusal
from tasks.wire import CompilingMark, FormatError, read_compiling, write_compiling

TTL_S = 10
RENEW_S = 1.0
INDEX = "sentiq:compiling"
_INDEX_TTL_S = 3600


class Compilations:
    """Tells how far a worker's compiling is, and lists all that compile. Raises redis.RedisError when the server is
    away.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def tell(self, mark: CompilingMark) -> None:
        """Says for TTL_S seconds how far a worker is."""
        pipe = self._client.pipeline(transaction=False)
        pipe.set(f"{INDEX}:{mark.id}", write_compiling(mark), ex=TTL_S)
        pipe.sadd(INDEX, mark.id)
        pipe.expire(INDEX, _INDEX_TTL_S)
        pipe.execute()

    def withdraw(self, worker_id: str) -> None:
        """Takes back what was told of a worker, as it no longer compiles."""
        pipe = self._client.pipeline(transaction=False)
        pipe.delete(f"{INDEX}:{worker_id}")
        pipe.srem(INDEX, worker_id)
        pipe.execute()

    def under_way(self) -> list[CompilingMark]:
        """The marks of all workers that compile now; those that wait for others come last."""
        ids = [name_of(raw) for raw in self._client.smembers(INDEX)]
        if not ids:
            return []
        marks, gone = [], list[str]()
        for worker_id, raw in zip(ids, self._client.mget([f"{INDEX}:{worker_id}" for worker_id in ids]), strict=True):
            if raw is None:
                gone.append(worker_id)
                continue
            try:
                marks.append(read_compiling(raw))
            except FormatError:
                continue  # a worker of a later version
        if gone:
            with suppressed_refusal():
                self._client.srem(INDEX, *gone)
        # Not by their seconds: of two that began together, now one and now the other would come first.
        return sorted(marks, key=lambda mark: (mark.step.startswith("waiting"), mark.role, mark.id))
