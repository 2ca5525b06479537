"""`/health`: liveness depends on nothing; readiness asks Redis, which also knows the workers, at each request."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from flask import Blueprint, Response, request

from tasks.errors import ServiceUnavailable
from tasks.submit.service import SentimentService
from tasks.wire import CompilingMark, WorkerMark
from webapp.api.health_schemas import ReadyQuery, Role

_ROLES = ("interactive", "batch")


def _asks_something_else(worker: WorkerMark, sentiment: SentimentService) -> bool:
    """Whether the worker serves the model that the settings ask for, but another analysis."""
    model = sentiment.model_tag.removesuffix(sentiment.analysis.suffix)
    return worker.tag != sentiment.model_tag and (worker.tag == model or worker.tag.startswith(f"{model}+"))


def _missing_roles(ready: Sequence[WorkerMark], needed: Sequence[str]) -> list[str]:
    """The roles of which no worker is among these, of those that are needed."""
    return [role for role in needed if role not in {worker.role for worker in ready}]


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


def compiling_body(mark: CompilingMark) -> dict[str, object]:
    """How far a worker is with compiling its model, as the API shows it."""
    names = ("role", "model", "step", "percent", "seconds")
    return {name: getattr(mark, name) for name in names}


def counts_nothing(sentiment: SentimentService) -> bool:
    """Whether no worker for files and streams is ready, so that their texts wait."""
    return health_body(sentiment, "batch")["status"] == "unready"


def health_body(sentiment: SentimentService, role: Role | None = None) -> dict[str, object]:
    """What `/health` answers: Redis and the workers, asked now. `role`: whose readiness is asked; None: of all."""
    needed = [one for one in _ROLES if role is None or one == role]
    redis, workers, compiling, missing = "up", [], [], []
    try:
        sentiment.ping()
        workers = sentiment.workers()
        compiling = sentiment.compiling()
    except ServiceUnavailable:
        redis, missing = "down", ["redis"]
    ours = [worker for worker in workers if worker.tag == sentiment.model_tag]
    roles = _missing_roles(ours, needed)
    missing += [f"{one} worker" for one in roles]
    if any(worker.role in roles and _asks_something_else(worker, sentiment) for worker in workers):
        missing.append("the same ANALYSIS here as at the workers that are ready")
    unready = bool(missing)
    told = [_told(worker) for worker in ours]
    if others := sentiment.models.settings[1:]:
        told = [one | {"name": sentiment.models.settings[0].name} for one in told]
    for model in others:  # they are told, but the service is ready without them
        theirs = [worker for worker in workers if worker.tag == model.tag]
        told += [_told(worker) | {"name": model.name} for worker in theirs]
        missing += [f"{one} worker of {model.name}" for one in _missing_roles(theirs, needed)]
    tags = {model.tag for model in sentiment.models.settings}
    return {
        "status": "unready" if unready else "ready",
        "redis": redis,
        "workers": told,
        "compiling": [compiling_body(mark) for mark in compiling if mark.tag in tags],
        "missing": missing,
    }


def health_blueprint(sentiment: SentimentService) -> Blueprint:
    """The blueprint of `/health`, `/health/live` and `/health/ready`."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health/live")
    def live() -> Response:
        return Response(orjson.dumps({"status": "alive"}), mimetype="application/json")

    @blueprint.get("/health")
    def health() -> Response:
        return answer(health_body(sentiment))

    @blueprint.get("/health/ready")
    def ready() -> Response:
        return answer(health_body(sentiment, ReadyQuery.read(request.args.to_dict()).role))

    def answer(body: dict[str, object]) -> Response:
        unready = body["status"] == "unready"
        response = Response(orjson.dumps(body), status=503 if unready else 200, mimetype="application/json")
        if unready:
            response.headers["Retry-After"] = "2"
        return response

    return blueprint
