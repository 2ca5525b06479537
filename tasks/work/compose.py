"""The only place where a worker's parts are made and put together; all parts are handed what they need."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from functools import partial

import celeryconfig
from model.engine import Engine
from model.engines.merging import MergingEngine
from model.engines.registry import load_engine
from tasks import metrics
from tasks.background import Loop
from tasks.cost import cost
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.models import Model
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import queue_name
from tasks.queue.turns import Turns
from tasks.settings import Settings
from tasks.store.cache import PredictionCache
from tasks.store.connections import connect
from tasks.store.presence import KnownModel, Presence
from tasks.tracing import TracedEngine, start_tracing
from tasks.wire import WorkerMark
from tasks.work.announcing import announcing
from tasks.work.callbacks import Callbacks
from tasks.work.leases import Leases
from tasks.work.metrics_server import serve_metrics
from tasks.work.rate import measure_rate
from tasks.work.roles import Role
from tasks.work.scoring import Scorer
from tasks.work.serving import Worker
from tasks.work.task import ScoreTask
from tasks.work.upkeep import Upkeep
from tasks.work.watchdog import Watchdog, watched_loop

TIMEOUT_S = 5.0
"""The longest time, in seconds, that a worker waits for an answer of Redis."""

_log = logging.getLogger("tasks.worker")


def warm_engine(settings: Settings, device: str) -> Engine:
    """Loads and warms the engine of the model that the settings name.

    Raises:
        ModelError: the model does not exist or cannot be served.
    """
    engine = load_engine(
        settings.model_name,
        revision=settings.model_revision,
        engine=settings.engine,
        device=device,
        batch_size=settings.batch_size,
        threads=settings.engine_threads,
        label_map=settings.label_map or None,
        analysis=settings.analysis,
    )
    engine.warm()
    return engine


def compose(settings: Settings, role: Role, model: Model, engine: Engine, *, watched: Iterable[Loop] = ()) -> Worker:
    """Makes a worker that scores with this engine. It takes no chunks before it is run.

    Args:
        settings: the settings.
        role: the worker's role.
        model: the model that the worker serves.
        engine: the warm engine.
        watched: loops that already run in this process, for the watchdog.
    """
    texts_per_s = measure_rate(engine)
    mark = _mark(role, model, engine, texts_per_s)
    tracing = start_tracing(settings, role.name)
    watchdog = Watchdog(texts_per_s=texts_per_s)
    together = role.cost_together(texts_per_s)
    engine = MergingEngine(
        engine,
        max_cost=lambda: together,
        cost=lambda texts: sum(map(cost, texts)),
        on_call=metrics.engine_call,
        around=watchdog.engine_call,
    )
    if tracing is not None:
        engine = TracedEngine(engine, tracing)

    urls = (settings.cache_url, settings.broker_url, settings.results_url)
    servers = {url: connect(url, timeout_s=TIMEOUT_S) for url in dict.fromkeys(urls)}
    cache, broker, results = (servers[url] for url in urls)
    app = create_celery(settings)
    sender = ChunkSender(app, model)
    jobs = RunningJobs(results, CeleryResults(app, results))
    presence = Presence(cache)
    turns = Turns(results, sender, model, workers=partial(KnownModel(presence, model.tag).ready, "batch"))
    scorer = Scorer(engine, PredictionCache(cache, ttl_s=settings.cache_ttl), jobs, turns)
    leases = Leases(broker, period_s=celeryconfig.VISIBILITY_TIMEOUT_S / 3)
    ScoreTask(scorer, leases, sender, tracing).bind(app)
    app.steps["consumer"].add(watched_loop(watchdog))

    stop = threading.Event()
    loops = [leases.loop, announcing(presence, mark, stop)]
    if role.upkeep:
        callbacks = Callbacks(
            results,
            secret=settings.callback_secret_of,
            allow_private=settings.callback_allow_private,
            body=jobs.callback,
        )
        upkeep = Upkeep(jobs, callbacks, sender, turns, broker, model)
        loops += upkeep.loops(stop)
    watchdog.watch(*watched, *loops)

    return Worker(
        app,
        role,
        mark.id,
        queue=queue_name(role.name, model),
        heartbeats=bool(settings.metrics_port),
        when_ready=[
            *(loop.start for loop in (watchdog.loop, *loops)),
            lambda: metrics.MODEL_INFO.labels(role.name, mark.model, mark.device).set(1),
            partial(serve_metrics, settings.metrics_host, settings.metrics_port, mark.device),
            partial(_log.info, "ready: %s on %s, about %.0f texts/s", mark.model, mark.device, texts_per_s),
        ],
        when_told_to_end=[stop.set, scorer.stop],
    )


def _mark(role: Role, model: Model, engine: Engine, texts_per_s: float) -> WorkerMark:
    host = socket.gethostname()
    return WorkerMark(
        id=f"{role.name}-{host}-{os.getpid()}-{uuid.uuid4().hex[:6]}",
        role=role.name,
        model=engine.identity,
        tag=model.tag,
        device=engine.device,
        texts_per_s=round(texts_per_s, 1),
        started_at=time.time(),
        host=host,
    )
