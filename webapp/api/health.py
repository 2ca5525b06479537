"""`/health`: liveness depends on nothing; readiness asks Redis, which also knows the workers, at each request."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response

from tasks.errors import ServiceUnavailable
from tasks.submit.service import SentimentService
from tasks.wire import CompilingMark, WorkerMark


def _asks_something_else(worker: WorkerMark, sentiment: SentimentService) -> bool:
    """Whether the worker serves the model that the settings ask for, but another analysis."""
    model = sentiment.model_tag.removesuffix(sentiment.analysis.suffix)
    return worker.tag != sentiment.model_tag and (worker.tag == model or worker.tag.startswith(f"{model}+"))


def _told(worker: WorkerMark) -> dict[str, object]:
    about = worker.description
    passed = next((trial for trial in about.trials if trial.passed), None) if about is not None else None
    return {
        "role": worker.role,
        "model": worker.model,
        "device": worker.device,
        "texts_per_s": worker.texts_per_s,
        "form": about.form if about is not None else None,
        "gate": {"labels_equal": passed.labels_equal, "speedup": passed.speedup} if passed is not None else None,
    }


def _compiling(mark: CompilingMark) -> dict[str, object]:
    percent = None if mark.share is None else round(100 * mark.share)
    return {"role": mark.role, "model": mark.model, "step": mark.step, "percent": percent, "seconds": mark.seconds}


def health_blueprint(sentiment: SentimentService) -> Blueprint:
    """The blueprint of `/health`, `/health/live` and `/health/ready`."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health/live")
    def live() -> Response:
        return Response(orjson.dumps({"status": "alive"}), mimetype="application/json")

    @blueprint.get("/health/ready")
    @blueprint.get("/health", endpoint="health")
    def ready() -> Response:
        redis, workers, compiling, missing = "up", [], [], []
        try:
            sentiment.ping()
            workers = sentiment.workers()
            compiling = sentiment.compiling()
        except ServiceUnavailable:
            redis, missing = "down", ["redis"]
        ours = [worker for worker in workers if worker.tag == sentiment.model_tag]
        roles = {"interactive", "batch"} - {worker.role for worker in ours}
        missing += [f"{role} worker" for role in ("interactive", "batch") if role in roles]
        if any(worker.role in roles and _asks_something_else(worker, sentiment) for worker in workers):
            missing.append("the same ANALYSIS here as at the workers that are ready")
        body: dict[str, object] = {
            "status": "unready" if missing else "ready",
            "redis": redis,
            "workers": [_told(worker) for worker in ours],
            "compiling": [_compiling(mark) for mark in compiling if mark.tag == sentiment.model_tag],
            "missing": missing,
        }
        response = Response(orjson.dumps(body), status=503 if missing else 200, mimetype="application/json")
        if missing:
            response.headers["Retry-After"] = "2"
        return response

    return blueprint
