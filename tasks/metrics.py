"""All metrics that processes count themselves; docs/metrics.md lists them.

Metrics of what is in Redis, such as the age of the queues, are read at each scrape (`tasks.queue.metrics`). The value
of a label is never a text, a key or an id.

Series with labels are bound here once, as finding a series takes several times as long as counting. And a series that
exists from the start lets an alert distinguish "none yet" from "not scraped".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from model.warnings import NO_WORDS, UNCERTAIN, UNSUPPORTED_LANGUAGE
from tasks.patches import sparse_files

if TYPE_CHECKING:  # it imports numpy, which a web process must not load
    from model.engine import Work

sparse_files.install()
_POWERS_OF_TWO = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
REQUEST_BUCKETS_S = (0.002, 0.005, 0.015, 0.05, 0.1, 0.2, 0.45, 1, 2, 5, 10)
"""The buckets of HTTP requests, in seconds.

0.015 and 0.45 are the promised p95 latencies of cached and uncached calls; 0.45 is also the objective's."""

# Web processes
PREDICTIONS = Counter("sentiment_predictions_total", "Predictions answered by /predict.", ["label", "source"])
CACHE_LOOKUPS = Counter("sentiment_cache_lookups_total", "Texts looked up in the prediction cache.", ["result"])
REJECTED = Counter("sentiment_rejected_total", "Requests refused or failed, by error code.", ["code"])
PENDING = Counter("sentiment_pending_total", "Calls of /predict answered with a job because the wait ended first.")
JOBS = Counter("sentiment_jobs_total", "Jobs accepted.")
JOB_TEXTS = Counter("sentiment_job_texts_total", "Lines of accepted jobs.")
CHUNK_TEXTS = Histogram("sentiment_chunk_texts", "Texts of /predict in one chunk.", buckets=_POWERS_OF_TWO)
WAIT_SECONDS = Histogram(
    "sentiment_wait_seconds",
    "Seconds that a call of /predict, or a small batch, waited for answers that the process did not have in memory.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.45, 1, 2, 5),  # 0.45 as above
)
WAITING = Gauge("sentiment_waiting_texts", "Texts of /predict that wait now.", multiprocess_mode="livesum")

# Workers
TEXTS_SCORED = Counter("sentiment_texts_scored_total", "Texts that the engine scored.")
TEXTS_FAILED = Counter("sentiment_texts_failed_total", "Texts that the engine could not score, even alone.")
TEXT_WARNINGS = Counter("sentiment_text_warnings_total", "Texts that were scored with a warning.", ["warning"])
DEFECTS = Counter("sentiment_defects_total", "Chunks given up because of a defect in Sentiq.")
ENGINE_SECONDS = Counter("sentiment_engine_seconds_total", "Seconds spent inside the engine.")
CALL_TEXTS = Histogram(
    "sentiment_call_texts", "Texts that were scored in one call of the engine.", buckets=_POWERS_OF_TWO
)
BATCH_TEXTS = Histogram(
    "sentiment_batch_texts", "Texts of one micro-batch, which is one run of the model.", buckets=_POWERS_OF_TWO
)
TOKENS = Counter("sentiment_tokens_total", "Tokens of the texts that were scored.")
CELLS = Counter("sentiment_cells_total", "Tokens that the model computed: those of the texts, and padding.")
QUEUE_WAIT_SECONDS = Histogram(
    "sentiment_queue_wait_seconds",
    "Seconds from a chunk's sending to its start in a worker.",
    # The shorter ones are for live callers, the longer ones for jobs.
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
REDELIVERIES = Counter(
    "sentiment_redeliveries_total", "Chunks that were delivered again: their worker died, or could not store them."
)
MODEL_INFO = Gauge(
    "sentiment_model_info",
    "The model that a worker serves.",
    ["role", "model", "device", "form"],
    multiprocess_mode="livemax",
)

# Both
LOOPS = (
    *("replies", "job-ends", "coalescer"),
    *("leases", "presence", "watchdog", "callbacks", "repair", "shifts", "follow-parent", "compiling", "metrics-port"),
)
"""The names of the background loops (`tasks.background`) of a web process and of a worker."""
BACKGROUND_ERRORS = Counter(
    "sentiment_background_errors_total", "Errors in background loops; the loops went on.", ["loop", "kind"]
)
BACKGROUND_ROUND = Gauge(
    "sentiment_background_round_timestamp_seconds",
    "When a background loop last completed a round, in Unix seconds.",
    ["loop"],
    multiprocess_mode="livemin",
)

WEB = (
    *(PREDICTIONS, CACHE_LOOKUPS, REJECTED, PENDING, JOBS, JOB_TEXTS, CHUNK_TEXTS, WAIT_SECONDS, WAITING),
    *(BACKGROUND_ERRORS, BACKGROUND_ROUND),
)
WORKER = (
    *(TEXTS_SCORED, TEXTS_FAILED, TEXT_WARNINGS, DEFECTS, ENGINE_SECONDS, CALL_TEXTS, BATCH_TEXTS, TOKENS, CELLS),
    *(QUEUE_WAIT_SECONDS, REDELIVERIES, MODEL_INFO),
    *(BACKGROUND_ERRORS, BACKGROUND_ROUND),
)
for _loop, _kind in itertools.product(LOOPS, ("expected", "defect")):
    BACKGROUND_ERRORS.labels(_loop, _kind)

for _warning in (UNSUPPORTED_LANGUAGE, UNCERTAIN, NO_WORDS):
    TEXT_WARNINGS.labels(_warning)

LOOKUP_RECENT, LOOKUP_HIT, LOOKUP_MISS, LOOKUP_ERROR = (
    CACHE_LOOKUPS.labels(result) for result in ("recent", "hit", "miss", "error")
)
"""The series of look-ups: known in the process, known in Redis, unknown, and not answered by Redis."""


class PredictionCounts:
    """Counts the answers of `/predict` by class; each class, and none, has a series from the start."""

    def __init__(self, classes: Sequence[str]) -> None:
        sources = ("fresh", "cache")
        self._series = {n: [PREDICTIONS.labels(label, source) for source in sources] for n, label in enumerate(classes)}
        self._none = [PREDICTIONS.labels(UNSUPPORTED_LANGUAGE, source) for source in sources]

    def add(self, decided: int | None, *, cached: bool) -> None:
        """Counts one text under a class, given by its index; None if it has no label for its language."""
        series = self._none if decided is None else self._series[decided]
        series[cached].inc()


def engine_call(texts: int, seconds: float, work: Work | None) -> None:
    """Counts one call of the engine."""
    CALL_TEXTS.observe(texts)
    ENGINE_SECONDS.inc(seconds)
    if work is not None:
        for count in work.batches:
            BATCH_TEXTS.observe(count)
        TOKENS.inc(work.tokens)
        CELLS.inc(work.cells)


def chunk_begun(sent_at: float | None, now: float, *, redelivered: bool) -> None:
    """Counts a chunk that a worker begins. Times are Unix seconds; the clocks of two machines may differ."""
    if redelivered:
        REDELIVERIES.inc()
    elif sent_at is not None:
        QUEUE_WAIT_SECONDS.observe(max(0.0, now - sent_at))
