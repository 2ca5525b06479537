"""`POST /predict`: one text, answered at once if it is known, else after a short wait. `GET /model`: what answers."""

from __future__ import annotations

import time
from typing import Any

import orjson
from flask import Blueprint, Response

from model.labels import LABELS
from tasks import metrics
from tasks.intake import Submission
from tasks.jobs import Entry
from tasks.outcomes import Scored
from tasks.service import SentimentService
from webapp.jobs import accepted
from webapp.requests import json_body, preferences
from webapp.schemas import PredictRequest


def answer(scored: Scored) -> dict[str, Any]:
    """The fields of a prediction that are the model's."""
    return {
        "label": scored.label,
        "confidence": scored.confidence,
        "scores": dict(zip(LABELS, scored.scores, strict=True)),
        "truncated": scored.truncated,
    }


def predictions_blueprint(sentiment: SentimentService, *, predict_timeout_s: float) -> Blueprint:
    """The blueprint of `/predict` and `/model`."""
    blueprint = Blueprint("predictions", __name__)

    @blueprint.post("/predict")
    def predict() -> Response:
        started = time.perf_counter()
        text = PredictRequest.model_validate(json_body()).text
        prefer = preferences()
        prediction = sentiment.predict(text, prefer.wait_or(predict_timeout_s))
        if prediction is None:
            metrics.PENDING.inc()
            job, _ = sentiment.jobs.submit(Submission([(1, Entry(text))]))
            return accepted(job, prefer)
        metrics.PREDICTIONS.labels(prediction.scored.label, "cache" if prediction.cached else "fresh").inc()
        body = {
            "text": text,
            **answer(prediction.scored),
            "cached": prediction.cached,
            "processing_time_ms": round((time.perf_counter() - started) * 1000, 3),
            "model": prediction.model,
        }
        return Response(orjson.dumps(body), mimetype="application/json")

    @blueprint.get("/model")
    def model() -> Response:
        info = sentiment.model()
        return Response(orjson.dumps({"model": info.identity, "labels": info.labels, "figures": info.figures}), mimetype="application/json")

    return blueprint
