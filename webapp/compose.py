"""The one place where the parts of a web process are made and put together; everything else is handed what it needs."""

from __future__ import annotations

import uuid
from functools import partial

from flask import Flask

from tasks.jobs.incoming import Allowance, IncomingJobs
from tasks.jobs.kept import KeptJobs
from tasks.jobs.results import CeleryResults
from tasks.logs import configure_logs
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
from tasks.store.presence import KnownModel, Presence
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
from tasks.submit.service import SentimentService
from tasks.tracing import Tracing, here, start_tracing
from webapp.app import create_app

TIMEOUT_S = 0.8
"""The longest that a web process waits for an answer from Redis, so that callers learn within a second that Redis is
away.
"""
LIMITS_TIMEOUT_S = 0.5
"""The longest wait for an answer about callers' limits: while there is none, nothing is limited."""
EXPIRE_S = 10.0
"""After this time a chunk without a reply no longer counts as under way and no longer holds back the next."""


def web_application() -> Flask:
    """The application of a web process, with the settings of the environment."""
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format, "web")
    tracing = start_tracing(settings, "web")
    return flask_application(settings, sentiment_service(settings, tracing), tracing)


def flask_application(
    settings: Settings, sentiment: SentimentService, tracing: Tracing | None = None, *, plain: bool = True
) -> Flask:
    """The application on a given service. `plain`: see `create_app`. It too connects to nothing before it is asked."""
    limits = limits_of(
        connect(settings.results_url, timeout_s=LIMITS_TIMEOUT_S),
        rate=settings.rate,
        daily_quota=settings.daily_quota,
        processes=settings.web_concurrency,
    )
    queues = queue_metrics(settings)
    return create_app(settings, sentiment, limits=limits, queues=queues, tracing=tracing, plain=plain)


def queue_metrics(settings: Settings) -> QueueMetrics:
    """What the metrics page tells of queues, workers and jobs."""
    cache, broker, results = _clients(settings)
    return QueueMetrics(cache=cache, broker=broker, results=results, tag=settings.model_tag, analysis=settings.analysis)


def _clients(settings: Settings) -> tuple[Client, Client, Client]:
    """Clients of the cache, the broker and the results; of parts on one server, the same."""
    urls = (settings.cache_url, settings.broker_url, settings.results_url)
    clients = {url: connect(url, timeout_s=TIMEOUT_S) for url in dict.fromkeys(urls)}
    return clients[urls[0]], clients[urls[1]], clients[urls[2]]


def sentiment_service(settings: Settings, tracing: Tracing | None = None) -> SentimentService:
    """The service behind the web application. It makes no connection and starts no thread before its first use."""
    me = uuid.uuid4().hex
    reply_key = f"sentiq:r:{me}"
    servers = _clients(settings)
    cache_server, broker, results = servers

    cache = PredictionCache(cache_server, ttl_s=settings.cache_ttl)
    presence = Presence(cache_server)
    known = KnownModel(presence, settings.model_tag, me=me)
    celery = create_celery(settings)
    chunks = ChunkSender(celery)
    recent = RecentPredictions()
    cleaned = cleaner(settings.max_text_chars)

    capacity = Capacity(known)
    sender = TextSender(
        cache,
        chunks,
        known,
        recent,
        tag=settings.model_tag,
        reply_key=reply_key,
        memory=Memory(broker),
        tracing=tracing,
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
    )
    listening = connect(settings.cache_url, timeout_s=2 * LOST_REPLY_S, blocking=True)
    replies = Replies(
        PredictionCache(listening, ttl_s=settings.cache_ttl), cache, known, recent, coalescer, reply_key=reply_key
    )
    ends = JobEnds(connect(settings.results_url, timeout_s=TIMEOUT_S, blocking=True))
    backend = CeleryResults(celery, results)
    jobs = JobService(
        IncomingJobs(
            results,
            backend,
            ttl_s=settings.job_ttl,
            allowance=Allowance(settings.storage_quota, settings.max_jobs),
        ),
        KeptJobs(results, backend),
        cache,
        IdempotencyKeys(results, settings.analysis, ttl_s=min(KEY_TTL_S, settings.job_ttl)),
        Turns(
            results,
            chunks,
            workers=partial(known.ready, "batch"),
            tag=settings.model_tag,
            analysis=settings.analysis,
        ),
        known,
        cleaned,
        ends,
        tag=settings.model_tag,
        analysis=settings.analysis,
        max_texts=settings.max_batch_texts,
        callbacks=lambda owner: settings.callback_secret_of(owner) is not None,
        allow_private=settings.callback_allow_private,
        origin=lambda: here(tracing),
    )
    return SentimentService(
        Predictor(cleaned, recent, cache, known, coalescer, listen=replies.start, tracing=tracing),
        jobs,
        known,
        presence,
        Compilations(cache_server),
        set(servers),
        (coalescer, replies, ends),
        model_tag=settings.model_tag,
        analysis=settings.analysis,
    )
