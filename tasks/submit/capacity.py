"""How much of the workers' time is this web process's."""

from __future__ import annotations

import math

from tasks.store.presence import KnownModel

CHUNKS_UNDER_WAY = 2
"""Of all web processes for each interactive worker, but at least one of each: one being scored, the next on its way.
More would only make them smaller.
"""
CALLER_CHUNK_S = 0.25
"""A chunk of callers' texts takes about so long to score at the most."""
_ROLE = "interactive"


class Capacity:
    """As the workers that were ready when last asked make it. Asks nothing itself, and raises nothing."""

    def __init__(self, model: KnownModel) -> None:
        self._model = model

    def texts_per_s(self) -> float:
        """Texts a second that the workers should do for this web process; infinite while none is ready: nobody knows
        when one is.
        """
        if not self._model.workers(_ROLE):
            return math.inf
        return self._model.texts_per_s(_ROLE) * self._model.share(_ROLE)

    def chunk_texts(self) -> int:
        """The most texts of a chunk."""
        return max(1, int(self._model.texts_per_s(_ROLE) * CALLER_CHUNK_S))

    def chunks_under_way(self) -> int:
        """The most chunks of this process that are under way at once."""
        return max(1, math.ceil(CHUNKS_UNDER_WAY * self._model.share(_ROLE)))
