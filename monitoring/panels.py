"""What the dashboards show: rows of panels, each with its queries, its unit, what is normal, and the alerts that belong
to it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: queries as (PromQL, legend)."""

    title: str
    unit: str
    description: str
    queries: tuple[tuple[str, str], ...]
    alerts: tuple[str, ...] = ()
    limit: float | None = None
    """The value at which a line is drawn: the alert's threshold, or the promise."""
    stacked: bool = False
    bottom: float = 0
    top: float | None = None
    width: int = 8


@dataclass(frozen=True, slots=True)
class Marks:
    """Moments that are marked in all panels of a dashboard: the values of a query, in Unix milliseconds."""

    title: str
    query: str
    text: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A page of rows of panels."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[Panel, ...]], ...]
    variable: tuple[str, str] | None = None
    """What the reader may choose from, all at first: the name by which queries use it, and the query of its values."""
    marks: Marks | None = None


def _quantiles(metric: str, selector: str = "", by: str = "") -> tuple[tuple[str, str], ...]:
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    return tuple(
        (
            f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))",
            f"p{q * 100:g}{legend}",
        )
        for q in (0.5, 0.95, 0.99)
    )


def _rate(metric: str, by: str, selector: str = "", *, legend: str = "") -> tuple[str, str]:
    return f"sum by ({by}) (rate({metric}{{{selector}}}[$__rate_interval]))", legend or " ".join(
        f"{{{{{name}}}}}" for name in by.split(", ")
    )


def _ratio(above: str, below: str, by: str = "", selector: str = "") -> str:
    """The ratio of two counters' rates."""
    head = f"sum by ({by})" if by else "sum"
    return " / ".join(f"{head} (rate({metric}{{{selector}}}[$__rate_interval]))" for metric in (above, below))


def _mean(histogram: str, by: str = "", selector: str = "") -> str:
    return _ratio(f"{histogram}_sum", f"{histogram}_count", by, selector)


_WORKER = 'role!=""'
"""Workers have a role; a web process shows workers' metrics too, as zero."""
_REQUESTS = "flask_http_request_duration_seconds"
_OTHERS = 'url_rule!~"/health.*|/predict"'
_PREDICT = 'url_rule="/predict",status="200"'

SERVICE = Dashboard(
    "sentiq-service",
    "Sentiq: service",
    "What callers see: promises kept, answers, waits, refusals, jobs.",
    (
        (
            "Promises",
            (
                Panel(
                    "Alerts firing",
                    "short",
                    "Alerts of Prometheus that fire now. Normal: 0.",
                    (('sum(ALERTS{alertstate="firing"}) or vector(0)', "firing"),),
                    limit=1,
                    width=6,
                ),
                Panel(
                    "Server errors: budget burnt",
                    "suffix:×",
                    "How many times faster than allowed the 0.1 % of requests that may end in a server error (5xx)"
                    " are used up. Normal: below 1.",
                    (
                        ("sentiq:http_errors:ratio_rate5m / 0.001", "5 min"),
                        ("sentiq:http_errors:ratio_rate1h / 0.001", "1 h"),
                        ("sentiq:http_errors:ratio_rate6h / 0.001", "6 h"),
                        ("sentiq:http_errors:ratio_rate3d / 0.001", "3 d"),
                    ),
                    ("SentiqAvailabilityBurnsFast", "SentiqAvailabilityBurnsSlowly"),
                    limit=1,
                    width=9,
                ),
                Panel(
                    "Late answers: budget burnt",
                    "suffix:×",
                    "The same for the 5 % of texts of /predict that may take longer than 0.45 s. Normal: below 1.",
                    (
                        ("sentiq:predict_slow:ratio_rate5m / 0.05", "5 min"),
                        ("sentiq:predict_slow:ratio_rate1h / 0.05", "1 h"),
                        ("sentiq:predict_slow:ratio_rate6h / 0.05", "6 h"),
                        ("sentiq:predict_slow:ratio_rate3d / 0.05", "3 d"),
                    ),
                    ("SentiqLatencyBurnsFast", "SentiqLatencyBurnsSlowly"),
                    limit=1,
                    width=9,
                ),
            ),
        ),
        (
            "Callers",
            (
                Panel(
                    "Requests by rule and status",
                    "reqps",
                    "HTTP requests a second.",
                    (_rate(f"{_REQUESTS}_count", "method, url_rule, status", 'url_rule!~"/health.*"'),),
                    stacked=True,
                ),
                Panel(
                    "Latency of /predict",
                    "s",
                    "From first byte to last, texts answered with 200."
                    " The line is the promise at p95 for unknown texts.",
                    _quantiles(_REQUESTS, _PREDICT),
                    ("SentiqLatencyBurnsFast", "SentiqLatencyBurnsSlowly"),
                    limit=0.45,
                ),
                Panel(
                    "Predictions by label",
                    "suffix: texts/s",
                    "Answers of /predict. A label that vanishes is worth a look at the model.",
                    (_rate("sentiment_predictions_total", "label"),),
                    stacked=True,
                ),
                Panel(
                    "Known and fresh",
                    "suffix: texts/s",
                    "Answers of /predict by where they came from, and calls that became a job because the wait ended.",
                    (
                        _rate("sentiment_predictions_total", "source"),
                        ("sum(rate(sentiment_pending_total[$__rate_interval]))", "became a job"),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Cache hits",
                    "percentunit",
                    "Share of looked-up texts that were known.",
                    (("sentiq:cache_hits:ratio_rate10m", "10 min"), ("sentiq:cache_hits:ratio_rate6h", "6 h")),
                    ("SentiqCacheHitsCollapsed",),
                    top=1,
                ),
                Panel(
                    "Cache look-ups by result",
                    "suffix: texts/s",
                    "recent: known in the process; hit: known in Redis; error: Redis did not answer.",
                    (_rate("sentiment_cache_lookups_total", "result"),),
                    ("SentiqCacheHitsCollapsed", "SentiqRedisDown"),
                    stacked=True,
                ),
                Panel(
                    "Wait for an unknown text",
                    "s",
                    "From a caller's text joining the queue to its answer.",
                    _quantiles("sentiment_wait_seconds"),
                    ("SentiqQueueOld",),
                    limit=0.45,
                ),
                Panel(
                    "Texts that wait",
                    "short",
                    "Texts of /predict that wait for their answer now. QUEUE_LIMIT is the most.",
                    (("sum(sentiment_waiting_texts)", "waiting"),),
                    ("SentiqRefusing", "SentiqQueueOld"),
                ),
                Panel(
                    "Texts in a message",
                    "short",
                    "Callers' texts in one chunk. There are more under load, which makes each of them cheaper.",
                    (
                        (
                            _mean("sentiment_chunk_texts"),
                            "mean",
                        ),
                    ),
                ),
                Panel(
                    "Rejected by code",
                    "reqps",
                    "Requests refused or failed. 4xx codes are the callers';"
                    " queue_full, service_unavailable and internal_error are ours.",
                    (_rate("sentiment_rejected_total", "code"),),
                    ("SentiqRefusing", "SentiqAvailabilityBurnsFast"),
                    stacked=True,
                ),
                Panel(
                    "Share turned away",
                    "percentunit",
                    "Share of requests refused because too many wait, or Redis is away. Limits of a key do not count.",
                    (("sentiq:refused:ratio_rate5m", "5 min"),),
                    ("SentiqRefusing",),
                    limit=0.05,
                ),
                Panel(
                    "Latency of the other addresses",
                    "s",
                    "p95 by rule.",
                    (
                        (
                            (
                                "histogram_quantile(0.95, sum by (le, url_rule)"
                                f" (rate({_REQUESTS}_bucket{{{_OTHERS}}}[$__rate_interval])))"
                            ),
                            "{{url_rule}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Jobs",
            (
                Panel(
                    "Jobs",
                    "suffix: jobs/s",
                    "Jobs accepted, and jobs ended by state.",
                    (
                        ("sum(rate(sentiment_jobs_total[$__rate_interval]))", "accepted"),
                        ("max by (state) (rate(sentiment_jobs_ended_total[$__rate_interval]))", "{{state}}"),
                    ),
                ),
                Panel(
                    "Unfinished jobs",
                    "short",
                    "Jobs that were accepted and have not ended.",
                    (("max(sentiment_jobs_unfinished)", "unfinished"),),
                    ("SentiqJobsQueueOld",),
                ),
                Panel(
                    "Lines of jobs",
                    "suffix: lines/s",
                    "Lines accepted.",
                    (("sum(rate(sentiment_job_texts_total[$__rate_interval]))", "accepted"),),
                ),
            ),
        ),
    ),
)

WORKERS = Dashboard(
    "sentiq-workers",
    "Sentiq: workers and queues",
    "What is behind the web: queues, workers, their engines, Redis, and Celery's own view.",
    (
        (
            "Queues",
            (
                Panel(
                    "Oldest chunk",
                    "s",
                    "Age of the oldest chunk that no living worker has begun."
                    " The line is where live callers' waits end.",
                    (("sentiq:queue_oldest_seconds:max", "{{queue}}"),),
                    ("SentiqQueueOld", "SentiqJobsQueueOld"),
                    limit=2,
                ),
                Panel(
                    "Chunks that wait",
                    "short",
                    "Chunks in the queues, over all priorities. A job has few in the queue at once,"
                    " however large it is.",
                    (("max by (queue) (sentiment_queue_messages)", "{{queue}}"),),
                    ("SentiqQueueOld", "SentiqJobsQueueOld"),
                ),
                Panel(
                    "Chunks held by workers",
                    "short",
                    "Taken and not acknowledged. If chunks are held and no texts are scored, a worker hangs.",
                    (("max(sentiment_queue_delivered)", "held"),),
                    ("SentiqQueueOld",),
                ),
                Panel(
                    "Queue wait",
                    "s",
                    "From a chunk's sending to its start in a worker.",
                    _quantiles("sentiment_queue_wait_seconds", _WORKER, "role"),
                    ("SentiqQueueOld",),
                ),
                Panel(
                    "Delivered again",
                    "percentunit",
                    "Share of the chunks begun that had been begun before.",
                    (("sentiq:redelivered:ratio_rate10m", "10 min"),),
                    ("SentiqRedeliveryStorm",),
                    limit=0.1,
                ),
                Panel(
                    "Ready workers",
                    "short",
                    "Workers that lately announced that they are ready with the model that the settings ask for.",
                    (("sentiq:workers_ready:max", "{{role}}"),),
                    ("SentiqNoWorkerReady", "SentiqTargetDown"),
                ),
            ),
        ),
        (
            "Workers",
            (
                Panel(
                    "Texts scored",
                    "suffix: texts/s",
                    "By role; the dashed lines are the rates at which the engines score tweets.",
                    (
                        _rate("sentiment_texts_scored_total", "role", _WORKER),
                        ("max by (role) (sentiment_workers_texts_per_second)", "capacity {{role}}"),
                    ),
                    ("SentiqLatencyBurnsSlowly",),
                ),
                Panel(
                    "Engine at work",
                    "percentunit",
                    "Share of the time in which an engine scores, by role, summed over its workers.",
                    (_rate("sentiment_engine_seconds_total", "role", _WORKER),),
                ),
                Panel(
                    "Engine time of a text",
                    "s",
                    "Seconds of the engine for each text. Grows with longer texts, smaller batches,"
                    " and others on its cores.",
                    (
                        (
                            _ratio("sentiment_engine_seconds_total", "sentiment_texts_scored_total", "role", _WORKER),
                            "{{role}}",
                        ),
                    ),
                    ("SentiqLatencyBurnsFast",),
                ),
                Panel(
                    "Texts in a call and in a micro-batch",
                    "short",
                    "Mean. A call of the engine is cut into micro-batches of similar length.",
                    (
                        (_mean("sentiment_call_texts", "role", _WORKER), "call {{role}}"),
                        (_mean("sentiment_batch_texts", "role", _WORKER), "micro-batch {{role}}"),
                    ),
                ),
                Panel(
                    "Padding",
                    "percentunit",
                    "Share of computed tokens that are padding.",
                    (
                        (
                            f"1 - {_ratio('sentiment_tokens_total', 'sentiment_cells_total', 'role', _WORKER)}",
                            "{{role}}",
                        ),
                    ),
                    top=1,
                ),
                Panel(
                    "Tokens",
                    "suffix: tokens/s",
                    "Tokens of the scored texts, without padding.",
                    (_rate("sentiment_tokens_total", "role", _WORKER),),
                    stacked=True,
                ),
                Panel(
                    "Failures",
                    "suffix: /s",
                    "Texts that the engine could not score, and chunks given up because of a defect in Sentiq."
                    " Normal: 0.",
                    (
                        _rate("sentiment_texts_failed_total", "role", _WORKER, legend="texts {{role}}"),
                        _rate("sentiment_defects_total", "role", _WORKER, legend="defects {{role}}"),
                    ),
                    ("SentiqTextsFailing", "SentiqDefects"),
                ),
                Panel(
                    "Memory of workers",
                    "bytes",
                    "Resident, of each worker process.",
                    (('process_resident_memory_bytes{job="sentiq-worker"}', "{{role}} {{instance}}"),),
                    ("SentiqRedeliveryStorm",),
                ),
                Panel(
                    "Processor of workers",
                    "percentunit",
                    "Cores in use, of each worker process.",
                    (
                        (
                            'rate(process_cpu_seconds_total{job="sentiq-worker"}[$__rate_interval])',
                            "{{role}} {{instance}}",
                        ),
                    ),
                ),
                Panel(
                    "Models",
                    "short",
                    "Workers by the model that they serve. Two at once: an upgrade is under way.",
                    (
                        (
                            "count by (role, model, device, form) (sentiment_model_info)",
                            "{{role}} {{model}} {{device}} {{form}}",
                        ),
                    ),
                    ("SentiqCacheHitsCollapsed",),
                ),
                Panel(
                    "Loops in the background",
                    "suffix: /s",
                    "Errors in background loops of web processes and workers, which went on; `expected`: Redis is away."
                    " Normal: 0.",
                    (_rate("sentiment_background_errors_total", "loop, kind"),),
                    ("SentiqLoopFails", "SentiqLoopStandsStill"),
                ),
            ),
        ),
        (
            "GPU",
            (
                Panel(
                    "GPU memory",
                    "percentunit",
                    "Share in use. Empty without a GPU.",
                    (("sentiment_gpu_memory_used_bytes / sentiment_gpu_memory_bytes", "{{role}} {{instance}}"),),
                    top=1,
                    width=12,
                ),
                Panel(
                    "GPU at work",
                    "percentunit",
                    "Share of the time in which the GPU computes. Empty without a GPU.",
                    (("sentiment_gpu_busy_ratio", "{{role}} {{instance}}"),),
                    top=1,
                    width=12,
                ),
            ),
        ),
        (
            "Redis",
            (
                Panel(
                    "Redis memory",
                    "percentunit",
                    "Share of maxmemory. A cache may be full; a broker may not.",
                    (("sentiq:redis_memory:ratio", "{{part}}"),),
                    ("SentiqBrokerMemory",),
                    limit=0.7,
                    top=1,
                ),
                Panel(
                    "Redis memory in use",
                    "bytes",
                    "Bytes, of each server.",
                    (("redis_memory_used_bytes", "{{part}}"),),
                    ("SentiqBrokerMemory",),
                ),
                Panel(
                    "Evictions",
                    "suffix: keys/s",
                    "Keys thrown away because memory is full: normal for a cache, a loss for a broker.",
                    (("sum by (part) (rate(redis_evicted_keys_total[$__rate_interval]))", "{{part}}"),),
                    ("SentiqBrokerEvicts", "SentiqCacheHitsCollapsed"),
                ),
                Panel(
                    "Commands",
                    "ops",
                    "Commands a second, of each server.",
                    (("sum by (part) (rate(redis_commands_processed_total[$__rate_interval]))", "{{part}}"),),
                ),
                Panel("Connections", "short", "Clients of each server.", (("redis_connected_clients", "{{part}}"),)),
                Panel(
                    "Redis answers",
                    "short",
                    "1 where the web reaches the server of this part.",
                    (("min by (part) (sentiment_redis_up)", "{{part}}"),),
                    ("SentiqRedisDown",),
                ),
            ),
        ),
        (
            "Celery",
            (
                Panel(
                    "Workers on each queue",
                    "short",
                    "As Celery's remote control finds them (celery-exporter).",
                    (("celery_active_worker_count", "{{queue_name}}"),),
                    ("SentiqNoWorkerReady",),
                ),
                Panel(
                    "Chunks by outcome",
                    "suffix: chunks/s",
                    "As Celery's events tell (celery-exporter): they flow while Flower runs.",
                    tuple(
                        (f"sum(rate(celery_task_{what}_total[$__rate_interval]))", what)
                        for what in ("received", "succeeded", "failed", "rejected")
                    ),
                ),
                Panel(
                    "Run time of a chunk",
                    "s",
                    "As Celery's events tell (celery-exporter).",
                    tuple(
                        (
                            (
                                f"histogram_quantile({q}, sum by (le)"
                                " (rate(celery_task_runtime_bucket[$__rate_interval])))"
                            ),
                            f"p{q * 100:g}",
                        )
                        for q in (0.5, 0.95)
                    ),
                ),
                Panel(
                    "Events seen by Flower",
                    "suffix: events/s",
                    "By type.",
                    (("sum by (type) (rate(flower_events_total[$__rate_interval]))", "{{type}}"),),
                ),
            ),
        ),
    ),
)
