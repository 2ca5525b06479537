"""`/health`: alive asks for nothing; ready asks Redis and the workers anew each time."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response

from tasks.errors import ServiceUnavailable
from tasks.submit.service import SentimentService


def health_blueprint(sentiment: SentimentService) -> Blueprint:
    """The blueprint of `/health`, `/health/live` and `/health/ready`."""
    blueprint = Blueprint("health", __name__)

    @blueprint.get("/health/live")
    def live() -> Response:
        return Response(orjson.dumps({"status": "alive"}), mimetype="application/json")

    @blueprint.get("/health/ready")
    @blueprint.get("/health", endpoint="health")
    def ready() -> Response:
        redis, workers, missing = "up", [], []
        try:
            sentiment.ping()
            workers = sentiment.workers()
        except ServiceUnavailable:
            redis, missing = "down", ["redis"]
        ours = [worker for worker in workers if worker.tag == sentiment.model_tag]
        for role in ("interactive", "batch"):
            if not any(worker.role == role for worker in ours):
                missing.append(f"{role} worker")
        body: dict[str, object] = {
            "status": "unready" if missing else "ready",
            "redis": redis,
            "workers": [
                {"role": worker.role, "model": worker.model, "device": worker.device, "texts_per_s": worker.texts_per_s}
                for worker in ours
            ],
            "missing": missing,
        }
        response = Response(orjson.dumps(body), status=503 if missing else 200, mimetype="application/json")
        if missing:
            response.headers["Retry-After"] = "2"
        return response

    return blueprint
