"""Sends the chunks of jobs in turns: which one is next is decided by `tasks/jobs/lua/turns.lua`, for all processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tasks.jobs.keys import chunk_of, turn_keys, turn_prefixes
from tasks.models import Model
from tasks.queue.app import ChunkSender
from tasks.store.connections import Client
from tasks.store.scripts import load_script
from tasks.tracing import Origin

AHEAD = 1
"""Chunks in the broker beyond one for each batch worker, so that no worker waits for one that is still being sent, and
a lost one does not stop all."""
_FIRST, _QUICK = 1, 2
"""What the script says of chunks."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A chunk that has to be sent now."""

    chunk_id: str
    origin: Origin
    """The request that made its job."""
    is_first: bool = False
    """Whether workers take it before others."""
    is_quick: bool = False
    """Whether it goes to an interactive worker."""


class Turns:
    """Lets chunks of one model wait for their turn. Raises redis.RedisError when a server is away.

    A chunk that was chosen and then not sent is found by `tasks.work.upkeep`.
    """

    def __init__(self, client: Client, sender: ChunkSender, model: Model, *, workers: Callable[[str], int]) -> None:
        """Makes no connection.

        Args:
            client: connected to the server of the jobs.
            sender: sends the chunks.
            model: the model whose chunks take turns.
            workers: the number of its workers of a role that are ready.
        """
        self._sender = sender
        self._workers = workers
        self._keys = turn_keys(model)
        self._prefixes = turn_prefixes(model)
        self._client = client
        self._choose = load_script(client, "tasks.jobs", "turns")

    def choose(self, chunk_ids: Iterable[str] = ()) -> list[Turn]:
        """Lets these chunks wait for their turn; returns those of all chunks whose turn it is, which must be sent."""
        at_once = max(1, self._workers("batch")) + AHEAD
        args: list[str | float] = [time.time(), at_once, *self._prefixes, self._workers("interactive"), *chunk_ids]
        chosen = self._choose(keys=self._keys, args=args)
        return [
            Turn(chunk_id.decode(), Origin.from_json(origin), how == _FIRST, how == _QUICK)
            for chunk_id, origin, how in chosen
        ]

    def send(self, turn: Turn) -> None:
        """Sends a chunk whose turn it is."""
        self._sender.send_job_chunk(
            *chunk_of(turn.chunk_id), turn.origin, is_first=turn.is_first, is_quick=turn.is_quick
        )

    def queues(self) -> list[str]:
        """The roles in whose queues there may be chunks that some worker will take."""
        return ["batch", "interactive"] if self._workers("interactive") else ["batch"]

    def waiting(self) -> set[str]:
        """The ids of the chunks that wait for their turn."""
        return {chunk_id.decode() for chunk_id in self._client.zrangebyscore(self._keys[1], "-inf", "+inf")}
