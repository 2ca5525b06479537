"""Composition root of a worker: `python -m tasks.worker interactive|batch`.

Pins the device before any library sees it, loads and warms the engine once, and only then takes chunks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
import time
import uuid
import warnings
from functools import partial
from pathlib import Path

import redis

from model.engine import Engine
from tasks.background import Loop
from tasks.store.presence import REFRESH_S, Presence
from tasks.wire import WorkerMark

ROLES = ("interactive", "batch")
THREADS = {"interactive": 6, "batch": 1}
"""Chunks at once. The engine scores what callers' chunks have gathered in one call; a job's chunk finds what the one
before has scored.
"""
CALL_S = 0.25
"""Callers' texts that are scored in one call take about so long at the most."""
BATCH_NICENESS = 19
"""Added to the batch worker's: live callers have the processor first, and jobs still get a little of it."""

_RATE_TEXTS = ("the bus leaves at nine from the usual place, i hope",)
_RATE_S = 0.15

_log = logging.getLogger("tasks.worker")  # run as a program, its name is another


def pin_device(device: str) -> str:
    """Hides all GPUs but the wanted one, before torch is imported: one process, one GPU.

    Returns:
        The device as the engine is to name it: the one that is left is `cuda:0`.
    """
    if not device.startswith("cuda:"):
        return device
    os.environ["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    return "cuda:0"


def measure_rate(engine: Engine) -> float:
    """The engine's texts per second on short texts: from one text on, twice as many each time, until that takes a
    while.
    """
    texts = list(_RATE_TEXTS)
    while True:
        started = time.perf_counter()
        engine.score(texts)
        seconds = time.perf_counter() - started
        if seconds > _RATE_S or len(texts) > 10_000:
            return len(texts) / seconds
        texts *= 2


def _announcing(presence: Presence, mark: WorkerMark, stop: threading.Event) -> Loop:
    """Says that the worker is ready, until `stop` is set; then that it is not. Should that fail, the mark expires."""

    def withdraw() -> None:
        _log.info("stopping: finishing the chunks that were begun")
        presence.withdraw(mark)

    away = (redis.RedisError,)
    announce = partial(presence.announce, mark)
    return Loop("presence", announce, period_s=REFRESH_S, expected=away, stop=stop, at_end=withdraw)


def run(role: str) -> None:
    """Serves chunks of one queue until SIGTERM, which lets the chunks that were begun end."""
    from tasks.errors import EX_CONFIG, SettingsRefused
    from tasks.logs import configure_logs
    from tasks.parent import follow_parent
    from tasks.settings import load_settings
    from tasks.tracing import TracedEngine, here, require_tracing, scoring, start_tracing

    try:
        settings = load_settings()
        require_tracing(settings)
    except SettingsRefused as error:
        print(f"Sentiq cannot start: {error}", file=sys.stderr)
        sys.exit(EX_CONFIG)
    configure_logs(settings.log_level, settings.log_format, role)
    parent = follow_parent()
    if settings.metrics_port:  # before the metrics are made: they shall not be on the web's page as well
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    if role == "batch":
        os.nice(BATCH_NICENESS)
        # Linux weighs niceness within a session only, and each process of the launcher has one of its own: that must be
        # told too.
        if os.getsid(0) == os.getpid():
            with contextlib.suppress(OSError):
                Path("/proc/self/autogroup").write_text(str(BATCH_NICENESS))
    device = pin_device(settings.device)

    from celery.platforms import SecurityWarning
    from celery.signals import setup_logging, worker_ready, worker_shutting_down

    import celeryconfig
    from model.engines.merging import MergingEngine
    from model.engines.registry import load_engine
    from model.errors import ModelError
    from tasks import metrics
    from tasks.jobs.results import CeleryResults
    from tasks.jobs.running import RunningJobs
    from tasks.queue.app import SENT_AT, TASK, ChunkSender, create_celery
    from tasks.queue.patches import silent_signals
    from tasks.queue.queues import queue_name
    from tasks.store.cache import PredictionCache
    from tasks.store.connections import connect
    from tasks.work.callbacks import Callbacks
    from tasks.work.leases import Leases
    from tasks.work.metrics_server import serve_metrics
    from tasks.work.scoring import NotStored, Scorer
    from tasks.work.upkeep import Upkeep
    from tasks.work.watchdog import Watchdog, watched_loop

    try:
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
    except ModelError as error:
        _log.error("%s", error)
        sys.exit(EX_CONFIG)
    engine.warm()
    rate = measure_rate(engine)
    watchdog = Watchdog(texts_per_s=rate)
    # Chunks of a job are large enough.
    together = int(rate * CALL_S) if role == "interactive" else 1
    engine = MergingEngine(engine, max_texts=together, on_call=metrics.engine_call, around=watchdog.engine_call)
    if (tracing := start_tracing(settings, role)) is not None:
        engine = TracedEngine(engine, tracing)

    app = create_celery(settings)
    app.steps["consumer"].add(watched_loop(watchdog))
    cache_client = connect(settings.cache_url, timeout_s=5.0)
    results = connect(settings.results_url, timeout_s=5.0)
    jobs = RunningJobs(results, CeleryResults(app, results))
    sender = ChunkSender(app)

    def send_following(job_id: str, number: int, tag: str) -> None:
        sender.send_job_chunk(job_id, number, tag, here(tracing))

    scorer = Scorer(engine, PredictionCache(cache_client, ttl_s=settings.cache_ttl), jobs, send_following)
    broker = connect(settings.broker_url, timeout_s=5.0)
    secret = settings.callback_secret.get_secret_value() if settings.callback_secret is not None else None
    callbacks = Callbacks(results, secret=secret, allow_private=settings.callback_allow_private, body=jobs.callback)
    upkeep = Upkeep(jobs, callbacks, sender, broker, tag=settings.model_tag, analysis=settings.analysis)
    leases = Leases(broker, period_s=celeryconfig.VISIBILITY_TIMEOUT_S / 3)
    stop = threading.Event()
    mark = WorkerMark(
        id=f"{role}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}",
        role=role,
        model=engine.identity,
        tag=settings.model_tag,
        device=engine.device,
        texts_per_s=round(rate, 1),
        started_at=time.time(),
        host=socket.gethostname(),
    )

    loops = [leases.loop, _announcing(Presence(cache_client), mark, stop)]
    if role == "batch":
        loops += upkeep.loops(stop)
    watchdog.watch(*loops)
    if parent is not None:
        watchdog.watch(parent)

    @app.task(name=TASK, bind=True)  # type: ignore[untyped-decorator]
    def score(self, chunk):  # type: ignore[no-untyped-def]
        redelivered = bool((self.request.delivery_info or {}).get("redelivered"))
        headers = self.request.headers or {}
        metrics.chunk_begun(headers.get(SENT_AT), time.time(), redelivered=redelivered)
        lease = leases.held((self.request.properties or {}).get("delivery_tag"))
        with lease, scoring(tracing, headers, chunk, self.request.id):
            try:
                scorer.score(chunk, self.request.id)
            except NotStored:
                # Back into the queue, for whoever reaches Redis first. Without Redis this fails too, and the delivery
                # comes back by itself.
                from celery.exceptions import Reject

                raise Reject("not stored", requeue=True) from None

    @worker_ready.connect(weak=False)  # type: ignore[untyped-decorator]
    def ready(**_: object) -> None:
        for loop in (watchdog.loop, *loops):
            loop.start()
        metrics.MODEL_INFO.labels(role, engine.identity, engine.device).set(1)
        serve_metrics(settings, engine.device)
        _log.info("ready: %s on %s, about %.0f texts/s", engine.identity, engine.device, rate)

    @worker_shutting_down.connect(weak=False)  # type: ignore[untyped-decorator]
    def stopping(**_: object) -> None:
        stop.set()
        scorer.stop()

    # Celery would set the root logger's level; what listens here keeps it from that.
    setup_logging.connect(lambda **_: None, weak=False)
    silent_signals.install()
    # Celery warns a worker that runs as root (as in most containers): pickle would let a message run anything. We never
    # accept pickle.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    arguments = [
        "--quiet",
        "worker",
        "--loglevel",
        "WARNING",
        "--hostname",
        f"{mark.id}@%h",
        "--queues",
        queue_name(role, settings.analysis),
    ]
    arguments += ["--pool", "threads", "--concurrency", str(THREADS[role])]
    # Workers have nothing to tell each other; each of these would be Redis traffic for no reader.
    arguments += ["--without-gossip", "--without-mingle"]
    # A worker that is watched sends heartbeats: without any kind of event, Celery ignores Flower's wish for those of
    # tasks too.
    arguments += ["--heartbeat-interval", "10"] if settings.metrics_port else ["--without-heartbeat"]
    app.worker_main(arguments)


def main(arguments: list[str]) -> None:
    """A Sentiq worker: `interactive` for callers who wait, `batch` for jobs."""
    if len(arguments) != 1 or arguments[0] not in ROLES:
        sys.exit(f"usage: python -m tasks.worker {'|'.join(ROLES)}")
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # celeryconfig lies beside the packages
    run(arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
