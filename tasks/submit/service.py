"""All that the web knows: predict a text, look at workers; and, as `jobs`, the service of jobs."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitOver
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import redis

from model.figures import FileFigures, read_figures
from model.labels import LABELS
from model.text import clean
from tasks import metrics
from tasks.background import Loop
from tasks.errors import EmptyText, InvalidText, QueueFull, TextFailed, TextTooLong
from tasks.jobs.job import Entry, Line
from tasks.jobs.results import CeleryResults
from tasks.jobs.store import JobStore
from tasks.queue.app import ChunkSender, create_celery
from tasks.settings import Settings
from tasks.store.cache import PredictionCache, Reply
from tasks.store.connections import connect
from tasks.store.outcomes import Failed, Outcome, Scored, digest
from tasks.store.presence import KnownModel, Presence, WorkerMark
from tasks.submit.coalescer import Coalescer
from tasks.submit.ends import JobEnds
from tasks.submit.jobs import JobService, redis_or_unavailable
from tasks.submit.recent import RecentPredictions
from tasks.tracing import Origin, Tracing, here, sending

TIMEOUT_S = 0.8
"""The longest that a web process waits for one answer of Redis, so that its callers hear within a second that it is
away.
"""
CHUNKS_UNDER_WAY = 2
"""Of all web processes for each interactive worker, but at least one of each: one being scored, the next on its way.
More would only make them smaller."""
CALLER_CHUNK_S = 0.25
"""A chunk of callers' texts takes about so long to score at the most."""
LOST_REPLY_S = 0.5
"""After so long without a reply the cache is asked: the reply is a hint, the cache is the truth."""
_FRESH_S = 1.0
"""A fresh answer has been in the cache for less."""
EXPIRE_S = 10.0
"""After so long a chunk without a reply no longer holds back the next."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One text's answer."""

    scored: Scored
    cached: bool
    model: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model, as far as the service can tell without asking a worker."""

    identity: str | None
    """None before any worker was ready."""
    labels: tuple[str, ...]
    figures: list[FileFigures]
    """As measured; none for other models than the embedded one."""


@dataclass(frozen=True, slots=True)
class _Answer:
    outcome: Outcome
    model: str
    cached: bool = False


@contextmanager
def _counted(texts: int) -> Iterator[None]:
    """Counts the texts whose look-up Redis did not answer."""
    try:
        yield
    except redis.RedisError:
        metrics.LOOKUP_ERROR.inc(texts)
        raise


class SentimentService:
    """One for each web process. Every method raises ServiceUnavailable when Redis is away."""

    def __init__(self, settings: Settings, tracing: Tracing | None = None) -> None:
        self._settings = settings
        self._tracing = tracing
        app = create_celery(settings)
        self._sender = ChunkSender(app)
        self._client = connect(settings.cache_url, timeout_s=TIMEOUT_S)
        self._cache = PredictionCache(self._client, ttl_s=settings.cache_ttl)
        self._replies = PredictionCache(
            connect(settings.cache_url, timeout_s=1.0, blocking=True), ttl_s=settings.cache_ttl
        )
        self._recent = RecentPredictions()
        self._presence = Presence(self._client)
        me = uuid.uuid4().hex
        self._model = KnownModel(self._presence, settings.model_tag, me=me)
        results = connect(settings.results_url, timeout_s=TIMEOUT_S)
        store = JobStore(results, CeleryResults(app, results), ttl_s=settings.job_ttl)
        ends = JobEnds(connect(settings.results_url, timeout_s=TIMEOUT_S, blocking=True))
        self.jobs = JobService(
            settings, store, self._cache, results, self._sender, self._model, self._cleaned, ends, lambda: here(tracing)
        )
        self._reply_key = f"sentiq:r:{me}"
        self._listener = Loop("replies", self._receive, expected=(redis.RedisError,))
        self._swept_at = time.monotonic()
        self._coalescer: Coalescer[_Answer] = Coalescer(
            self._claim,
            self._send,
            lambda keys: self._cache.give_up(settings.model_tag, list(keys), self._reply_key),
            chunk_limit=lambda: max(1, int(self._model.texts_per_s("interactive") * CALLER_CHUNK_S)),
            max_under_way=lambda: max(1, math.ceil(CHUNKS_UNDER_WAY * self._model.share("interactive"))),
            queue_limit=max(1, settings.queue_limit // settings.web_concurrency),
            rate=self._rate,
            patience_s=settings.predict_timeout,
            expire_after_s=EXPIRE_S,
        )

    def _rate(self) -> float:
        """Texts a second that the workers should do for this web process; infinite while none is ready: nobody knows
        when one is.
        """
        if not self._model.workers("interactive"):
            return math.inf
        return self._model.texts_per_s("interactive") * self._model.share("interactive")

    # One text

    def predict(self, text: str, wait_s: float) -> Prediction | None:
        """The text's prediction, from the cache or fresh; None if none came within `wait_s` seconds.

        Raises:
            InvalidText, TextFailed: the text's own fault.
            QueueFull: too many wait.
        """
        cleaned = self._cleaned(text)
        key = digest(cleaned)
        with redis_or_unavailable():
            identity = self._model.remembered
            if identity is not None and (recent := self._recent.get(identity, key)) is not None:
                metrics.LOOKUP_RECENT.inc()
                return Prediction(recent, True, identity)
            if wait_s <= 0:
                return self._known(key)
        with self._waiting():
            return self._await(key, cleaned, wait_s)

    def _waiting(self) -> AbstractContextManager[object]:
        return nullcontext() if self._tracing is None else self._tracing.span("wait")

    def _await(self, key: str, cleaned: str, wait_s: float) -> Prediction | None:
        self._listener.start()
        started = time.monotonic()
        try:
            future = self._coalescer.submit(key, cleaned, here(self._tracing))
        except QueueFull:
            with redis_or_unavailable():
                if (known := self._known(key)) is not None:
                    return known
            raise
        try:
            with redis_or_unavailable():
                answer = future.result(timeout=wait_s)
        except WaitOver:
            return None
        finally:
            self._coalescer.leave(key, future)
        metrics.WAIT_SECONDS.observe(time.monotonic() - started)
        if isinstance(answer.outcome, Failed):
            if answer.outcome.code == TextFailed.code:
                raise TextFailed
            raise RuntimeError("a worker gave up; its log says why")
        if not answer.cached:
            self._recent.put(answer.model, key, answer.outcome, self._cache.ttl_s - _FRESH_S)
        return Prediction(answer.outcome, answer.cached, answer.model)

    def predict_many(self, texts: Sequence[str], wait_s: float) -> list[Line] | None:
        """Each text's line, in their order, answered as `predict` answers one; None if some are not within `wait_s`
        seconds, or if too many wait: a job is the way then. A text that cannot be scored is an error of its line.
        """
        lines: list[Line | None] = [None] * len(texts)
        asked: dict[str, tuple[str, list[int]]] = {}
        with redis_or_unavailable():
            identity = self._model.remembered
        for position, text in enumerate(texts):
            try:
                cleaned = self._cleaned(text)
            except InvalidText as error:
                lines[position] = Line(position, Entry(text), Failed(error.code), None, cached=False)
                continue
            key = digest(cleaned)
            if identity is not None and (recent := self._recent.get(identity, key)) is not None:
                metrics.LOOKUP_RECENT.inc()
                lines[position] = Line(position, Entry(text), recent, identity, cached=True)
            else:
                asked.setdefault(key, (cleaned, []))[1].append(position)
        if asked and wait_s <= 0:
            return None
        with self._waiting():
            answers = self._wait_for({key: cleaned for key, (cleaned, _) in asked.items()}, wait_s) if asked else {}
        if answers is None:
            return None
        for key, (_, positions) in asked.items():
            answer = answers[key]
            if isinstance(answer.outcome, Scored) and not answer.cached:
                self._recent.put(answer.model, key, answer.outcome, self._cache.ttl_s - _FRESH_S)
            for position in positions:
                lines[position] = Line(position, Entry(texts[position]), answer.outcome, answer.model, answer.cached)
        found = [line for line in lines if line is not None]
        for line in found:
            if isinstance(line.outcome, Scored):
                metrics.predicted(line.outcome.label, cached=line.cached)
        return found

    def _wait_for(self, texts: Mapping[str, str], wait_s: float) -> dict[str, _Answer] | None:
        """The answers of texts by key; None if not all came."""
        self._listener.start()
        until = time.monotonic() + wait_s
        origin = here(self._tracing)
        futures: dict[str, Future[_Answer]] = {}
        try:
            for key, text in texts.items():
                futures[key] = self._coalescer.submit(key, text, origin)
            with redis_or_unavailable():
                return {
                    key: future.result(timeout=max(0.0, until - time.monotonic())) for key, future in futures.items()
                }
        except (WaitOver, QueueFull):
            return None
        finally:
            for key, future in futures.items():
                self._coalescer.leave(key, future)

    def _known(self, key: str) -> Prediction | None:
        identity = self._model.identity
        if identity is None:
            return None
        with _counted(1):
            found = self._cache.get(identity, key)
        (metrics.LOOKUP_MISS if found is None else metrics.LOOKUP_HIT).inc()
        if found is None:
            return None
        scored, left_s = found
        self._recent.put(identity, key, scored, left_s)
        return Prediction(scored, True, identity)

    def _cleaned(self, text: str) -> str:
        if len(text) > self._settings.max_text_chars:
            raise TextTooLong(len(text), self._settings.max_text_chars)
        cleaned = clean(text)
        if not cleaned:
            raise EmptyText
        return cleaned

    def _claim(self, texts: Mapping[str, str]) -> list[str]:
        """The coalescer's `Claim`."""
        identity = self._model.identity
        with _counted(len(texts)):
            claim = self._cache.claim(identity, self._settings.model_tag, list(texts), self._reply_key)
        metrics.LOOKUP_HIT.inc(len(claim.known))
        metrics.LOOKUP_MISS.inc(len(texts) - len(claim.known))
        if claim.known and identity is not None:
            for key, (scored, left_s) in claim.known.items():
                self._recent.put(identity, key, scored, left_s)
            self._coalescer.resolve(
                {key: _Answer(scored, identity, cached=True) for key, (scored, _) in claim.known.items()}
            )
        return claim.to_send

    def _send(self, texts: Mapping[str, str]) -> None:
        """The coalescer's `Send`."""
        tag = self._settings.model_tag
        origins = [origin for origin in self._coalescer.origins(texts) if isinstance(origin, Origin)]
        try:
            with sending(self._tracing, origins, len(texts)) as origin:
                self._sender.send_texts(list(texts.values()), tag, origin)
        except Exception:  # of any kind: a mark without a message would hold other processes back for nothing
            self._cache.release(tag, texts)
            raise
        metrics.CHUNK_TEXTS.observe(len(texts))

    def _receive(self) -> None:
        reply = self._replies.await_reply(self._reply_key, timeout_s=LOST_REPLY_S)
        if reply is not None:
            self._resolve(reply)
        if time.monotonic() - self._swept_at > LOST_REPLY_S:
            self._swept_at = time.monotonic()
            self._sweep()

    def _resolve(self, reply: Reply) -> None:
        self._coalescer.resolve({key: _Answer(outcome, reply.model) for key, outcome in reply.outcomes.items()})

    def _sweep(self) -> None:
        """Asks the cache for texts whose reply may have been lost."""
        overdue = self._coalescer.overdue(LOST_REPLY_S)
        metrics.WAITING.set(self._coalescer.waiting)
        identity = self._model.identity
        if not overdue or identity is None:
            return
        found = zip(overdue, self._cache.get_many(identity, overdue), strict=True)
        self._coalescer.resolve({key: _Answer(scored, identity) for key, scored in found if scored is not None})

    # Health

    def ping(self) -> None:
        """Returns if every Redis server answers now."""
        with redis_or_unavailable():
            for url in {self._settings.cache_url, self._settings.broker_url, self._settings.results_url}:
                if url == self._settings.cache_url:
                    self._client.ping()
                else:
                    connect(url, timeout_s=TIMEOUT_S).ping()

    def workers(self) -> list[WorkerMark]:
        """The workers that told lately that they are ready."""
        with redis_or_unavailable():
            return self._presence.ready()

    @property
    def model_tag(self) -> str:
        """The model name and revision that this service asks its workers for."""
        return self._settings.model_tag

    def model(self) -> ModelInfo:
        """The model that answers callers now."""
        with redis_or_unavailable():
            identity = self._model.identity
        return ModelInfo(identity, LABELS, read_figures(identity) if identity is not None else [])
