"""Predictions that this process has met lately: in front of the cache, so that the most repeated texts cost no round
trip.
"""

from __future__ import annotations

import time
from collections import OrderedDict

from tasks.store.outcomes import Scored

MAX_TEXTS = 20_000
"""About 10 MB."""


class RecentPredictions:
    """The last `max_texts` predictions used, each until it ends in the cache too. For one process's threads or
    greenlets.

    Not `cachetools.TLRUCache` (8.0, CPython 3.11): a hit there takes 5 to 6 times as long, a put that drops another 7
    times; a put after many predictions have ended removes all of them first, and nobody else is answered meanwhile;
    and without a lock around each call, threads make it raise.
    """

    def __init__(self, max_texts: int = MAX_TEXTS) -> None:
        self._max_texts = max_texts
        self._entries: OrderedDict[tuple[str, str], tuple[Scored, float]] = OrderedDict()

    def get(self, identity: str, digest: str) -> Scored | None:
        """The model's prediction of this text, if it is here and has not ended."""
        key = (identity, digest)
        entry = self._entries.get(key)
        if entry is None:
            return None
        scored, until = entry
        if until <= time.monotonic():
            self._entries.pop(key, None)
            return None
        try:
            self._entries.move_to_end(key)
        except KeyError:
            pass  # another thread has dropped it
        return scored

    def put(self, identity: str, digest: str, scored: Scored, ttl_s: float) -> None:
        """Keeps a prediction for `ttl_s` seconds at the most."""
        if ttl_s > 0:
            self._entries[identity, digest] = (scored, time.monotonic() + ttl_s)
            self._entries.move_to_end((identity, digest))
            if len(self._entries) > self._max_texts:
                self._entries.popitem(last=False)
