"""The one place where a web process's parts are made and put together: all else is handed what it needs."""

from __future__ import annotations

import uuid
from functools import partial

from flask import Flask

from tasks.jobs.incoming import IncomingJobs
from tasks.jobs.kept import KeptJobs
from tasks.jobs.results import CeleryResults
from tasks.logs import configure_logs
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.turns import Turns
from tasks.settings import Settings, load_settings
from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.presence import KnownModel, Presence
from tasks.submit.admission import Admission
from tasks.submit.answer import Answer
from tasks.submit.capacity import Capacity
from tasks.submit.coalescer import Coalescer
from tasks.submit.ends import JobEnds
from tasks.submit.jobs import JobService
from tasks.submit.predictor import Predictor, cleaner
from tasks.submit.recent import RecentPredictions
from tasks.submit.replies import LOST_REPLY_S, Replies
from tasks.submit.sender import TextSender
from tasks.submit.service import SentimentService
from tasks.tracing import Tracing, here, start_tracing
from webapp.app import create_app

TIMEOUT_S = 0.8
"""The longest that a web process waits for one answer of Redis, so that its callers hear within a second that it is
away.
"""
EXPIRE_S = 10.0
"""After so long a chunk without a reply no longer holds back the next."""


def web_application() -> Flask:
    """The application of a web process, as the environment sets it."""
    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format, "web")
    tracing = start_tracing(settings, "web")
    return create_app(settings, sentiment_service(settings, tracing), tracing)


def sentiment_service(settings: Settings, tracing: Tracing | None = None) -> SentimentService:
    """The service that the web application asks. It connects to nothing and starts no thread before it is first
    asked.
    """
    me = uuid.uuid4().hex
    reply_key = f"sentiq:r:{me}"
    urls = (settings.cache_url, settings.broker_url, settings.results_url)
    servers = {url: connect(url, timeout_s=TIMEOUT_S) for url in dict.fromkeys(urls)}
    results = servers[settings.results_url]

    cache = PredictionCache(servers[settings.cache_url], ttl_s=settings.cache_ttl)
    presence = Presence(servers[settings.cache_url])
    known = KnownModel(presence, settings.model_tag, me=me)
    celery = create_celery(settings)
    chunks = ChunkSender(celery)
    recent = RecentPredictions()
    cleaned = cleaner(settings.max_text_chars)

    capacity = Capacity(known)
    sender = TextSender(cache, chunks, known, recent, tag=settings.model_tag, reply_key=reply_key, tracing=tracing)
    coalescer: Coalescer[Answer] = Coalescer(
        sender.claim,
        sender.send,
        sender.give_up,
        admission=Admission(
            queue_limit=max(1, settings.queue_limit // settings.web_concurrency),
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
    backend = CeleryResults(celery, results)
    jobs = JobService(
        settings,
        IncomingJobs(results, backend, ttl_s=settings.job_ttl),
        KeptJobs(results, backend),
        cache,
        results,
        Turns(
            results,
            chunks,
            workers=partial(known.ready, "batch"),
            tag=settings.model_tag,
            analysis=settings.analysis,
        ),
        known,
        cleaned,
        JobEnds(connect(settings.results_url, timeout_s=TIMEOUT_S, blocking=True)),
        lambda: here(tracing),
    )
    return SentimentService(
        Predictor(cleaned, recent, cache, known, coalescer, listen=replies.start, tracing=tracing),
        jobs,
        known,
        presence,
        servers.values(),
        model_tag=settings.model_tag,
        analysis=settings.analysis,
    )
