"""Remembers which job a caller's Idempotency-Key made."""

from __future__ import annotations

from hashlib import sha256

from model.analysis import Analysis
from tasks.jobs.job import UPLOAD_TTL_S
from tasks.store.connections import Client
from tasks.wire import KeyUse, read_key_use, write_key_use

KEY_TTL_S = 86_400
"""Seconds that an Idempotency-Key is kept, if its job lives that long."""


class IdempotencyKeys:
    """The jobs that Idempotency-Keys made, by the hash of the key, which may be a secret of the caller.

    Each analysis has its own keys.
    """

    def __init__(self, client: Client, analysis: Analysis, *, ttl_s: int) -> None:
        self._client = client
        self._suffix = analysis.suffix
        self._ttl_s = ttl_s

    def _name(self, key: str) -> str:
        return f"sentiq:i:{sha256(key.encode()).hexdigest()}{self._suffix}"

    def claim(self, key: str, job_id: str) -> KeyUse | None:
        """Claims an Idempotency-Key for a job: returns None, or the earlier use of the key if there is one."""
        while not self._client.set(self._name(key), write_key_use(KeyUse(job_id, None)), nx=True, ex=UPLOAD_TTL_S):
            if (value := self._client.get(self._name(key))) is not None:
                use = read_key_use(value)
                return None if use.job == job_id else use
        return None

    def touch(self, key: str) -> None:
        """Keeps the claim alive while the request is coming in."""
        self._client.expire(self._name(key), UPLOAD_TTL_S)

    def settle(self, key: str, job_id: str, fingerprint: str) -> None:
        """Notes that the request has come in completely, with its fingerprint."""
        self._client.set(self._name(key), write_key_use(KeyUse(job_id, fingerprint)), ex=self._ttl_s)

    def release(self, key: str) -> None:
        """Gives the claim up, as the request failed and may come again."""
        self._client.delete(self._name(key))
