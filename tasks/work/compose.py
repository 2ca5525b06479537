"""The only place where a worker's parts are made and put together; all parts are handed what they need."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import celeryconfig
from model.engine import Engine
from model.engines.merging import MergingEngine
from model.engines.windowed import WindowedEngine
from model.source import short_name
from tasks import metrics
from tasks.background import Loop
from tasks.cost import costs
from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.loading import load
from tasks.long_texts import fits
from tasks.models import Model
from tasks.parent import beside_another, tell_ready
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import queue_name
from tasks.queue.turns import Turns
from tasks.settings import Settings
from tasks.store.cache import PredictionCache
from tasks.store.compilations import Compilations
from tasks.store.connections import connect
from tasks.store.presence import KnownModel, Presence
from tasks.streams.counted import write_counted
from tasks.streams.gathering import counted_of
from tasks.tracing import TracedEngine, start_tracing
from tasks.wire import CompilingMark, WorkerMark
from tasks.work.announcing import announcing
from tasks.work.callbacks import Callbacks, ended_jobs
from tasks.work.compiling import CompilingSteps
from tasks.work.leases import Leases
from tasks.work.metrics_server import MetricsServer
from tasks.work.place import lower_priority
from tasks.work.rate import Rate, measure
from tasks.work.remarks import Remarker
from tasks.work.roles import Role
from tasks.work.scoring import Scorer
from tasks.work.serving import Worker
from tasks.work.shift_callbacks import found_shifts
from tasks.work.shifts import Shifts
from tasks.work.summary import summary
from tasks.work.task import ScoreTask
from tasks.work.upkeep import Upkeep
from tasks.work.watchdog import Watchdog, watched_loop

TIMEOUT_S = 5.0
"""The longest time, in seconds, that a worker waits for an answer of Redis."""

_log = logging.getLogger("tasks.worker")


def warm_engine(settings: Settings, role: Role, model: Model, device: str) -> Engine:
    """Loads and warms the engine of a model. If the model has to be compiled, that is told.

    Raises:
        ModelError: the model does not exist or cannot be served.
    """
    steps = CompilingSteps(
        Compilations(connect(settings.cache_url, timeout_s=TIMEOUT_S)),
        CompilingMark(_new_id(role), role.name, model.tag, short_name(model.source.name)),
        at_first=partial(lower_priority, role.niceness),
    )
    try:
        engine = load(settings.of(model), device, progress=steps)
        engine.warm()
    finally:
        steps.end()
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
    rate = Rate(measure(engine))
    mark = _mark(role, model, engine, rate)
    tracing = start_tracing(settings, role.name)
    watchdog = Watchdog(texts_per_s=lambda: rate.texts_per_s)

    @contextmanager
    def around(spent: int) -> Iterator[None]:
        with watchdog.engine_call(spent), rate.engine_call(spent):
            yield

    whole = settings.long_texts == "windows"
    cost = costs(whole=whole)
    engine = MergingEngine(
        WindowedEngine(engine) if whole and engine.description.max_tokens else engine,
        max_cost=lambda: role.cost_together(rate.texts_per_s),
        cost=lambda texts: sum(map(cost, texts)),
        on_call=metrics.engine_call,
        around=around,
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
    turns = Turns(results, sender, model, workers=KnownModel(presence, model.tag).ready)
    remarker = Remarker(engine.description, refuse=settings.other_languages == "refuse")
    scorer = Scorer(
        engine,
        PredictionCache(cache, ttl_s=settings.cache_ttl, fits=fits(settings.long_texts)),
        jobs,
        turns,
        remarker.say,
        refuse_long=settings.long_texts == "refuse",
        counted=lambda todo, outcomes: write_counted(
            counted_of(todo, outcomes, most_segments=settings.max_segments, sample_size=settings.stream_sample)
        ),
    )
    leases = Leases(broker, period_s=celeryconfig.VISIBILITY_TIMEOUT_S / 3)
    ScoreTask(scorer, leases, sender, tracing).bind(app)
    app.steps["consumer"].add(watched_loop(watchdog))

    stop = threading.Event()
    loops = [leases.loop, announcing(presence, mark, stop, texts_per_s=lambda: rate.texts_per_s)]
    if role.upkeep:
        callbacks = Callbacks(
            results,
            secret=settings.callback_secret_of,
            allow_private=settings.callback_allow_private,
            kinds=[ended_jobs(jobs.callback), found_shifts(results)],
        )
        shifts = Shifts(results, most_series=settings.stream_metrics)
        upkeep = Upkeep(jobs, callbacks, sender, turns, broker, model, shifts)
        loops += upkeep.loops(stop)
    metrics_server = MetricsServer(
        settings.metrics_host, settings.metrics_port, mark.device, beside_another=beside_another()
    )
    watchdog.watch(*watched, *loops, metrics_server.loop)

    return Worker(
        app,
        role,
        mark.id,
        queue=queue_name(role.name, model),
        heartbeats=bool(settings.metrics_port),
        when_ready=[
            partial(lower_priority, role.niceness),
            *(loop.start for loop in (watchdog.loop, *loops)),
            lambda: metrics.MODEL_INFO.labels(role.name, mark.model, mark.device, engine.description.form).set(1),
            metrics_server.start,
            partial(
                _log.info,
                "ready: %s on %s, about %.0f texts/s; %s",
                *(mark.model, mark.device, rate.texts_per_s, summary(engine.description)),
            ),
            tell_ready,
        ],
        when_told_to_end=[stop.set, scorer.stop],
    )


def _new_id(role: Role) -> str:
    return f"{role.name}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def _mark(role: Role, model: Model, engine: Engine, rate: Rate) -> WorkerMark:
    return WorkerMark(
        id=_new_id(role),
        role=role.name,
        model=engine.identity,
        tag=model.tag,
        device=engine.device,
        texts_per_s=round(rate.texts_per_s, 1),
        started_at=time.time(),
        host=socket.gethostname(),
        description=engine.description,
    )
