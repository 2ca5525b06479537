"""Receives workers' replies, and looks answers up in the cache when a reply does not come."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from tasks import metrics
from tasks.background import Loop
from tasks.store.cache import PredictionCache
from tasks.store.outcomes import Answer, Scored
from tasks.store.presence import KnownModel
from tasks.submit.coalescer import Coalescer
from tasks.submit.recent import RecentPredictions
from tasks.wire import FormatError

LOST_REPLY_S = 0.5
"""Seconds without a reply after which the answer is looked up in the cache: a reply may be lost."""
_FRESH_S = 1.0
"""Seconds that a fresh answer may already have been in the cache, at most; subtracted from its TTL in memory."""

_log = logging.getLogger(__name__)


class Replies:
    """Hands replies to the coalescer, from the first `start` on; a web process has one for each model."""

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
        """Makes a listener, which does not listen yet.

        Args:
            listening: waits for replies; its client is made with `blocking=True`, and nothing else uses it.
            cache: looks answers up.
            model: what is known about the workers.
            recent: fresh predictions are kept there.
            coalescer: gets the answers.
            reply_key: the key of this web process's replies about the model, the same as in claims.
            clock: the time in seconds.
        """
        self._listening = listening
        self._cache = cache
        self._model = model
        self._recent = recent
        self._coalescer = coalescer
        self._reply_key = reply_key
        self._clock = clock
        self._swept_at = clock()
        self._started = False
        self._told_waiting = 0
        self._loop = Loop("replies", self.receive, expected=(redis.RedisError,))

    def start(self) -> None:
        """Listens from now on; calling it again has no effect.

        Called with each text and not at construction: a thread started before Gunicorn forks would not exist in its
        workers.
        """
        # Not left to the loop, which would ask whether its thread is alive: 4.5 us for each text under gevent.
        if not self._started:
            self._started = True
            self._loop.start()

    def close(self) -> None:
        """Stops listening, LOST_REPLY_S from now at the latest."""
        self._loop.stop()

    def receive(self) -> None:
        """Waits at most LOST_REPLY_S for the next reply; about as often, looks up texts whose replies may be lost.

        If a reply cannot be read, all texts under way are looked up at once.
        """
        try:
            reply = self._listening.await_reply(self._reply_key, timeout_s=LOST_REPLY_S)
        except FormatError as error:
            _log.warning("looking into the cache instead: %s", error)
            self.sweep(older_than_s=0.0)
            return
        if reply is not None:
            for key, outcome in reply.outcomes.items():
                if isinstance(outcome, Scored) and self._cache.fits(outcome):
                    self._recent.put(reply.model, key, outcome, self._cache.ttl_s - _FRESH_S)
            self._coalescer.resolve(
                {key: Answer(outcome, reply.model, cached=False) for key, outcome in reply.outcomes.items()}
            )
        if self._clock() - self._swept_at > LOST_REPLY_S:
            self.sweep()

    def sweep(self, older_than_s: float = LOST_REPLY_S) -> None:
        """Looks up texts that have been under way for longer than `older_than_s`: their replies may have been lost."""
        self._swept_at = self._clock()
        waiting = self._coalescer.waiting
        metrics.WAITING.inc(waiting - self._told_waiting)  # the others of this process add to the same number
        self._told_waiting = waiting
        overdue = self._coalescer.overdue(older_than_s)
        if not overdue or (identity := self._model.identity) is None:
            return
        found = zip(overdue, self._cache.get_many(identity, overdue), strict=True)
        self._coalescer.resolve(
            {key: Answer(scored, identity, cached=False) for key, scored in found if scored is not None}
        )
