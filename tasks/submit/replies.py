"""Workers' replies on their way in, and what is done about those that do not come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from tasks import metrics
from tasks.background import Loop
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Scored
from tasks.store.presence import KnownModel
from tasks.submit.answer import Answer
from tasks.submit.coalescer import Coalescer
from tasks.submit.recent import RecentPredictions
from tasks.wire import FormatError

LOST_REPLY_S = 0.5
"""After so long without a reply the cache is asked: the reply is a hint, the cache is the truth."""
_FRESH_S = 1.0
"""A fresh answer has been in the cache for less."""

_log = logging.getLogger(__name__)


class Replies:
    """One for each web process. Listens from the first `start` on."""

    def __init__(
        self,
        listening: PredictionCache,
        cache: PredictionCache,
        model: KnownModel,
        recent: RecentPredictions,
        coalescer: Coalescer[Answer],
        *,
        reply_key: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A listener that hands what it hears to the coalescer.

        Args:
            listening: with a client made with `blocking=True`, that nothing else uses.
            cache: for what is looked up.
            reply_key: as claims name it.
            clock: seconds.
        """
        self._listening = listening
        self._cache = cache
        self._model = model
        self._recent = recent
        self._coalescer = coalescer
        self._reply_key = reply_key
        self._clock = clock
        self._swept_at = clock()
        self._loop = Loop("replies", self.receive, expected=(redis.RedisError,))

    def start(self) -> None:
        """Listens from now on; called with each text and not at construction: a thread started before Gunicorn forks
        would not exist in its workers.
        """
        self._loop.start()

    def receive(self) -> None:
        """Waits for the next reply, LOST_REPLY_S at the most; and looks, about so often, for those that were lost.

        Of a reply that cannot be read, the texts are looked up at once.
        """
        try:
            reply = self._listening.await_reply(self._reply_key, timeout_s=LOST_REPLY_S)
        except FormatError as error:
            _log.warning("looking into the cache instead: %s", error)
            self.sweep(older_than_s=0.0)
            return
        if reply is not None:
            for key, outcome in reply.outcomes.items():
                if isinstance(outcome, Scored):
                    self._recent.put(reply.model, key, outcome, self._cache.ttl_s - _FRESH_S)
            self._coalescer.resolve(
                {key: Answer(outcome, reply.model, cached=False) for key, outcome in reply.outcomes.items()}
            )
        if self._clock() - self._swept_at > LOST_REPLY_S:
            self.sweep()

    def sweep(self, older_than_s: float = LOST_REPLY_S) -> None:
        """Asks the cache for texts that have been under way for so long: their reply may have been lost."""
        self._swept_at = self._clock()
        metrics.WAITING.set(self._coalescer.waiting)
        overdue = self._coalescer.overdue(older_than_s)
        if not overdue or (identity := self._model.identity) is None:
            return
        found = zip(overdue, self._cache.get_many(identity, overdue), strict=True)
        self._coalescer.resolve(
            {key: Answer(scored, identity, cached=False) for key, scored in found if scored is not None}
        )
