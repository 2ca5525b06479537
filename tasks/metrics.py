"""Every metric of ours, in one place. A label value is never a text, a key or an id."""

from prometheus_client import Counter, Gauge, Histogram

# Web processes
PREDICTIONS = Counter("sentiment_predictions_total", "Predictions answered by /predict.", ["label", "source"])
CACHE_LOOKUPS = Counter("sentiment_cache_lookups_total", "Texts looked up in the prediction cache.", ["result"])
REJECTED = Counter("sentiment_rejected_total", "Requests refused or failed, by error code.", ["code"])
PENDING = Counter("sentiment_pending_total", "Calls of /predict answered with a job because the wait ended first.")
JOBS = Counter("sentiment_jobs_total", "Jobs accepted.")
JOB_TEXTS = Counter("sentiment_job_texts_total", "Lines of accepted jobs.")
CHUNK_TEXTS = Histogram(
    "sentiment_chunk_texts",
    "Texts that one task message of /predict carried.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),  # powers of two, as micro-batches are
)
WAIT_SECONDS = Histogram(
    "sentiment_wait_seconds",
    "Seconds that a /predict miss waited for its answer.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.45, 1, 2, 5),  # 0.45 is the latency that uncached calls are promised at p95
)
WAITING = Gauge("sentiment_waiting_texts", "Texts of /predict that wait now.", multiprocess_mode="livesum")

# Workers
TEXTS_SCORED = Counter("sentiment_texts_scored_total", "Texts that the engine scored.")
TEXTS_FAILED = Counter("sentiment_texts_failed_total", "Texts that the engine could not score, alone.")
ENGINE_SECONDS = Counter("sentiment_engine_seconds_total", "Seconds spent inside the engine.")
CALL_TEXTS = Histogram(
    "sentiment_call_texts",
    "Texts that were scored in one call of the engine.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),  # as above
)
MODEL_INFO = Gauge("sentiment_model_info", "The model that a worker serves.", ["role", "model", "device"], multiprocess_mode="livemax")


def engine_call(texts: int, seconds: float) -> None:
    """Counts one call of the engine."""
    CALL_TEXTS.observe(texts)
    ENGINE_SECONDS.inc(seconds)
