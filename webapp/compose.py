"""The one place where the parts of a web process are made and put together; everything else is handed what it needs."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping

import structlog
from flask import Flask

from tasks.cost import charges, costs
from tasks.errors import SettingsRefused
from tasks.jobs.incoming import Allowance, IncomingJobs
from tasks.jobs.kept import KeptJobs
from tasks.jobs.results import CeleryResults
from tasks.logs import configure_logs
from tasks.long_texts import fits
from tasks.models import DEFAULT, Model, each_once
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.metrics import QueueMetrics
from tasks.queue.turns import Turns
from tasks.settings import Settings, load_settings
from tasks.store.cache import PredictionCache
from tasks.store.compilations import Compilations
from tasks.store.connections import Client, connect
from tasks.store.limits import limits_of
from tasks.store.memory import Memory
from tasks.store.outcomes import Answer
from tasks.store.presence import WEBS, KnownModel, Presence
from tasks.store.sessions import Sessions
from tasks.streams.job_labels import JobLabels
from tasks.streams.kept import KeptStreams
from tasks.streams.labels import StreamLabels
from tasks.streams.links import StreamLinks
from tasks.streams.shifts import KeptShifts
from tasks.submit.backlog import Backlog
from tasks.submit.capacity import Capacity
from tasks.submit.coalescer import Coalescer
from tasks.submit.ends import JobEnds
from tasks.submit.idempotency import KEY_TTL_S, IdempotencyKeys
from tasks.submit.jobs import JobService
from tasks.submit.predictor import Predictor, cleaner
from tasks.submit.queue_limit import QueueLimit
from tasks.submit.recent import RecentPredictions
from tasks.submit.replies import LOST_REPLY_S, Replies
from tasks.submit.sender import TextSender
from tasks.submit.served import ServedModel, ServedModels
from tasks.submit.service import SentimentService
from tasks.submit.streams import StreamService
from tasks.tracing import Tracing, here, start_tracing
from webapp.app import create_app
from webapp.front.api_keys import ApiKeys

_log = structlog.get_logger(__name__)

TIMEOUT_S = 0.8
"""The longest that a web process waits for an answer from Redis, so that callers learn within a second that Redis is
away.
"""
LIMITS_TIMEOUT_S = 0.5
"""The longest wait for an answer about callers' limits: while there is none, nothing is limited."""
EXPIRE_S = 10.0
"""After this time a chunk without a reply no longer counts as under way and no longer holds back the next."""


def _settings_and_keys() -> tuple[Settings, ApiKeys]:
    settings = load_settings()
    try:
        return settings, _api_keys(settings)
    except (OSError, ValueError) as error:  # the file of keys has changed since it was read with the settings
        raise SettingsRefused(f"API_KEYS_FILE: {error}") from error


def _api_keys(settings: Settings) -> ApiKeys:
    return ApiKeys(lambda: settings.keys, settings.api_keys_file)


def settings_when_usable() -> tuple[Settings, ApiKeys]:
    """The settings, and the keys that they name.

    They could be used when Gunicorn's master started, so they can be again: a process that takes the place of one that
    died waits for that, where failing would end the others with it.
    """
    told = ""
    while True:
        try:
            return _settings_and_keys()
        except SettingsRefused as error:
            if str(error) != told:
                told = str(error)
                _log.warning("a web process waits for settings that can be used: %s", told)
            time.sleep(1)


def web_application() -> Flask:
    """The application of a web process, with the settings of the environment."""
    settings, keys = settings_when_usable()
    configure_logs(settings.log_level, settings.log_format, "web")
    tracing = start_tracing(settings, "web")
    return flask_application(settings, sentiment_service(settings, tracing), tracing, keys=keys)


def flask_application(
    settings: Settings,
    sentiment: SentimentService,
    tracing: Tracing | None = None,
    *,
    keys: ApiKeys | None = None,
    plain: bool = True,
) -> Flask:
    """The application on a given service. It too connects to nothing before it is asked.

    Args:
        keys: those of the settings, if they were read already.
        plain: see `create_app`.
    """
    limits = limits_of(
        connect(settings.results_url, timeout_s=LIMITS_TIMEOUT_S),
        rate=settings.rate,
        daily_quota=settings.daily_quota,
        processes=settings.web_concurrency,
    )
    sessions = Sessions(connect(settings.results_url, timeout_s=TIMEOUT_S), ttl_s=settings.session_ttl)
    keys = keys or _api_keys(settings)
    backlog = Backlog(
        connect(settings.broker_url, timeout_s=TIMEOUT_S),
        sentiment.jobs,
        each_once(settings.served),
        lambda: {key.name for key in keys.values()},
    )
    return create_app(
        settings,
        sentiment,
        limits=limits,
        sessions=sessions,
        queues=queue_metrics(settings),
        keys=keys,
        backlog=backlog,
        tracing=tracing,
        plain=plain,
    )


def queue_metrics(settings: Settings) -> QueueMetrics:
    """What the metrics page tells of queues, workers and jobs."""
    cache, broker, results = _clients(settings)
    return QueueMetrics(cache=cache, broker=broker, results=results, models=each_once(settings.served))


def _clients(settings: Settings) -> tuple[Client, Client, Client]:
    """Clients of the cache, the broker and the results; of parts on one server, the same."""
    urls = (settings.cache_url, settings.broker_url, settings.results_url)
    clients = {url: connect(url, timeout_s=TIMEOUT_S) for url in dict.fromkeys(urls)}
    return clients[urls[0]], clients[urls[1]], clients[urls[2]]


def sentiment_service(settings: Settings, tracing: Tracing | None = None) -> SentimentService:
    """The service behind the web application. It makes no connection and starts no thread before its first use."""
    parts = _Parts(settings, tracing)
    models = parts.served_models(settings.served)
    ends = JobEnds(connect(settings.results_url, timeout_s=TIMEOUT_S, blocking=True))
    backend = CeleryResults(parts.celery, parts.results)
    incoming = IncomingJobs(
        parts.results,
        backend,
        ttl_s=settings.job_ttl,
        allowance=Allowance(settings.storage_quota, settings.max_jobs),
    )
    labels = StreamLabels(parts.results)
    jobs = JobService(
        incoming,
        KeptJobs(parts.results, backend),
        parts.cache,
        IdempotencyKeys(parts.results, settings.analysis, ttl_s=min(KEY_TTL_S, settings.job_ttl)),
        models,
        parts.cleaned,
        ends,
        cost=parts.cost,
        charge=charges(whole=settings.long_texts == "windows"),
        analysis=settings.analysis,
        max_texts=settings.max_batch_texts,
        callbacks=lambda owner: settings.callback_secret_of(owner) is not None,
        allow_private=settings.callback_allow_private,
        origin=lambda: here(tracing),
    )
    streams = StreamService(
        KeptStreams(parts.results, max_streams=settings.max_streams),
        labels,
        KeptShifts(parts.results),
        StreamLinks(parts.results),
        incoming,
        parts.results,
        parts.cleaned,
        analysis=settings.analysis,
        longest_ttl_s=settings.stream_ttl,
        most_segments=settings.max_segments,
        sample_size=settings.stream_sample,
        most_bytes=settings.storage_quota,
        callbacks=lambda owner: settings.callback_secret_of(owner) is not None,
        allow_private=settings.callback_allow_private,
    )
    return SentimentService(
        models,
        jobs,
        JobLabels(parts.results, labels, most_jobs=settings.max_streams),
        streams,
        parts.presence,
        parts.compilations,
        parts.servers,
        (*parts.listeners, ends),
        analysis=settings.analysis,
    )


class _Parts:
    """What all models share in a web process, and how the parts of one are made of it."""

    def __init__(self, settings: Settings, tracing: Tracing | None) -> None:
        self.cache_server, broker, self.results = servers = _clients(settings)
        self.servers = set(servers)
        self.cache = PredictionCache(self.cache_server, ttl_s=settings.cache_ttl, fits=fits(settings.long_texts))
        self.presence = Presence(self.cache_server)
        self.compilations = Compilations(self.cache_server)
        self.celery = create_celery(settings)
        self.cleaned = cleaner(settings.max_text_chars)
        self.cost = costs(whole=settings.long_texts == "windows")
        self.listeners: list[Coalescer[Answer] | Replies] = []
        self._me = uuid.uuid4().hex
        self._recent = RecentPredictions()
        self._memory = Memory(broker)
        self._settings = settings
        self._tracing = tracing

    def served_models(self, models: Mapping[str, Model]) -> ServedModels:
        """The models, each with parts of its own."""
        made = {model.name: self._served(model) for model in each_once(models)}
        return ServedModels({name: made[model.name] for name, model in models.items()}, made[DEFAULT])

    def _served(self, model: Model) -> ServedModel:
        settings, cache = self._settings, self.cache
        reply_key = f"sentiq:r:{self._me}{model.at}"
        known = KnownModel(self.presence, model.tag, me=self._me, webs=f"{WEBS}{model.at}")
        chunks = ChunkSender(self.celery, model)
        capacity = Capacity(known)
        sender = TextSender(
            cache,
            chunks,
            known,
            self._recent,
            tag=model.tag,
            reply_key=reply_key,
            memory=self._memory,
            tracing=self._tracing,
        )
        coalescer: Coalescer[Answer] = Coalescer(
            sender.claim,
            sender.send,
            sender.give_up,
            queue_limit=QueueLimit(
                max_texts=max(1, settings.queue_limit // settings.web_concurrency),
                rate=capacity.texts_per_s,
                patience_s=settings.predict_timeout,
            ),
            chunk_limit=capacity.chunk_cost,
            max_under_way=capacity.chunks_under_way,
            expire_after_s=EXPIRE_S,
            cost=self.cost,
        )
        listening = connect(settings.cache_url, timeout_s=2 * LOST_REPLY_S, blocking=True)
        replies = Replies(
            PredictionCache(listening, ttl_s=settings.cache_ttl),
            cache,
            known,
            self._recent,
            coalescer,
            reply_key=reply_key,
        )
        self.listeners += [coalescer, replies]
        predictor = Predictor(
            self.cleaned,
            self._recent,
            cache,
            known,
            coalescer,
            listen=replies.start,
            patient=model.is_default,
            tracing=self._tracing,
        )
        turns = Turns(self.results, chunks, model, workers=known.ready)
        return ServedModel(model, known, predictor, turns, self.compilations)
