"""Recent predictions in the process's memory, so that frequently repeated texts need no round trip to the cache."""

from __future__ import annotations

import time
from collections import OrderedDict

from tasks.store.outcomes import Scored

MAX_TEXTS = 20_000
"""The most predictions in memory; they take about 10 MB."""


class RecentPredictions:
    """The last `max_texts` predictions used, each until it expires in the cache too. Safe for threads and greenlets.

    Not `cachetools.TLRUCache` (8.0, CPython 3.11): there a hit takes 5 to 6 times as long, and a put that evicts takes
    7 times as long. A put after many predictions have expired first removes all of them, which holds up all other
    callers. And without a lock around each call, threads make it raise.
    """

    def __init__(self, max_texts: int = MAX_TEXTS) -> None:
        self._max_texts = max_texts
        self._entries: OrderedDict[tuple[str, str], tuple[Scored, float]] = OrderedDict()

    def get(self, identity: str, digest: str) -> Scored | None:
        """The model's prediction for this text, if it is in memory and has not expired."""
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
            pass  # another thread has evicted it
        return scored

    def put(self, identity: str, digest: str, scored: Scored, ttl_s: float) -> None:
        """Keeps a prediction for at most `ttl_s` seconds."""
        if ttl_s > 0:
            self._entries[identity, digest] = (scored, time.monotonic() + ttl_s)
            self._entries.move_to_end((identity, digest))
            if len(self._entries) > self._max_texts:
                self._entries.popitem(last=False)
