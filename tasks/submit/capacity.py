"""This web process's share of what the workers can do."""

from __future__ import annotations

import math

from tasks.store.presence import KnownModel

CHUNKS_UNDER_WAY = 2
"""Chunks under way for each interactive worker, over all web processes (at least one for each web process).

While one is scored, the next is on its way; with more, chunks would only be smaller."""
CALLER_CHUNK_S = 0.5
"""The longest time, in seconds, that a chunk of callers' texts should take to score."""
SHARED_CHUNK_S = 0.05
"""The same while several callers send texts: each of them waits for the others' chunks that are under way."""
_SHARED_PART = 0.35
"""The least part of the time that a chunk is under way that it should take to score, while several callers send texts:
where the processors are so busy that all else takes long, small chunks would leave the engine idle.

A chunk waits for the one before it, so with more than a third the engine scores one while the next is on its way."""
_ROLE = "interactive"


class Capacity:
    """Computes the share from the workers that were last known to be ready. It does not ask Redis and never raises."""

    def __init__(self, model: KnownModel) -> None:
        self._model = model

    def texts_per_s(self) -> float:
        """Texts per second that the workers should do for this web process.

        It is infinite while no worker is ready, since nobody can tell when one will be.
        """
        if not self._model.workers(_ROLE):
            return math.inf
        return self._model.texts_per_s(_ROLE) * self._model.share(_ROLE)

    def chunk_cost(self, round_trip_s: float | None) -> int:
        """The most that a chunk may cost (`tasks.cost`).

        Args:
            round_trip_s: how long chunks are under way, in seconds, while several callers send texts; None for one.
        """
        seconds = CALLER_CHUNK_S
        if round_trip_s is not None:
            # At a worker that several web processes share, a chunk waits for the other processes' chunks, too.
            alone_s = round_trip_s * min(1.0, self._model.share(_ROLE))
            seconds = min(CALLER_CHUNK_S, max(SHARED_CHUNK_S, _SHARED_PART * alone_s))
        return max(1, int(self._model.texts_per_s(_ROLE) * seconds))

    def chunks_under_way(self) -> int:
        """The most chunks of this web process that may be under way at once."""
        return max(1, math.ceil(CHUNKS_UNDER_WAY * self._model.share(_ROLE)))
