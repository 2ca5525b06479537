"""Claims callers' texts in the cache, sends them as chunks, and gives claims up."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import redis

from tasks import metrics
from tasks.errors import StorageFull
from tasks.queue.app import ChunkSender
from tasks.store.cache import PredictionCache
from tasks.store.full import refusal
from tasks.store.memory import CALLERS_SHARE, Memory
from tasks.store.outcomes import Answer
from tasks.store.presence import KnownModel
from tasks.submit.coalescer import Claimed
from tasks.submit.recent import RecentPredictions
from tasks.tracing import Origin, Tracing, sending


class TextSender:
    """Claims, sends and gives up texts, on the coalescer's thread only. Raises redis.RedisError if a server is away."""

    def __init__(
        self,
        cache: PredictionCache,
        chunks: ChunkSender,
        model: KnownModel,
        recent: RecentPredictions,
        *,
        tag: str,
        reply_key: str,
        memory: Memory,
        tracing: Tracing | None = None,
    ) -> None:
        """Makes a sender for one model.

        Args:
            cache: texts are claimed there.
            chunks: sends chunks.
            model: what is known about the workers.
            recent: predictions that a claim finds are kept there.
            tag: the model tag that workers are asked for.
            reply_key: the key of this web process's replies.
            memory: of the broker's server.
            tracing: makes a span for each chunk sent, if traces are wanted.
        """
        self._cache = cache
        self._chunks = chunks
        self._model = model
        self._recent = recent
        self._tag = tag
        self._reply_key = reply_key
        self._memory = memory
        self._tracing = tracing
        self._refused: redis.RedisError | None = None

    def claim(self, texts: Mapping[str, str]) -> Claimed[Answer]:
        """The coalescer's `Claim`: looks texts up and marks unknown ones as in flight, in one round trip."""
        identity = self._model.identity
        try:
            claim = self._cache.claim(identity, self._tag, list(texts), self._reply_key)
        except redis.RedisError as error:
            if identity is not None and refusal(error) is not None:
                self._refused = error
                return self._known_alone(identity, list(texts))
            metrics.LOOKUP_ERROR.inc(len(texts))
            raise
        self._refused = None
        metrics.LOOKUP_HIT.inc(len(claim.known))
        metrics.LOOKUP_MISS.inc(len(texts) - len(claim.known))
        known: dict[str, Answer] = {}
        if identity is not None:
            for key, (scored, left_s) in claim.known.items():
                self._recent.put(identity, key, scored, left_s)
                known[key] = Answer(scored, identity, cached=True)
        return Claimed(known, claim.to_send)

    def _known_alone(self, identity: str, keys: list[str]) -> Claimed[Answer]:
        """Looks texts up without marks, for which Redis has no room. `send` will fail for those that are unknown."""
        found = zip(keys, self._cache.get_many(identity, keys), strict=True)
        known = {key: Answer(scored, identity, cached=True) for key, scored in found if scored is not None}
        metrics.LOOKUP_HIT.inc(len(known))
        metrics.LOOKUP_MISS.inc(len(keys) - len(known))
        return Claimed(known, [key for key in keys if key not in known])

    def send(self, texts: Mapping[str, str], origins: Sequence[Origin], callers: Collection[str] = ()) -> None:
        """The coalescer's `Send`: sends texts as one chunk.

        Raises:
            StorageFull: the broker's memory is full, or nearly.
        """
        if self._refused is not None:  # the broker would be asked for seconds, again and again
            raise self._refused
        try:
            if not self._memory.has_room(CALLERS_SHARE):
                raise StorageFull
            with sending(self._tracing, origins, len(texts)) as origin:
                self._chunks.send_texts(list(texts.values()), origin, caller=caller_digest(callers))
        except Exception:  # of any kind: a mark without a message would keep other processes from sending the text
            self._cache.release(self._tag, texts)
            raise
        metrics.CHUNK_TEXTS.observe(len(texts))

    def give_up(self, keys: Iterable[str]) -> list[str]:
        """The coalescer's `Release`: gives claims up; returns the digests that other processes still wait for."""
        return self._cache.give_up(self._tag, list(keys), self._reply_key)


def caller_digest(callers: Collection[str]) -> str:
    """What a chunk says of the callers whose texts it has: empty if they are several.

    Workers need not know who a caller is, only whether two chunks have the same one.
    """
    if len(callers) != 1:
        return ""
    return hashlib.sha256(next(iter(callers)).encode()).hexdigest()[:12]
