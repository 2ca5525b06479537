"""`POST /predict`: one text, answered at once if it is known, else after a short wait. `GET /model`: what answers."""

from __future__ import annotations

import time
from typing import Any

import orjson
from flask import Blueprint, Response, request

from model.labels import LABELS
from tasks import metrics
from tasks.jobs.job import Entry
from tasks.submit.intake import Submission
from tasks.submit.service import Prediction, SentimentService
from webapp.api.jobs import accepted
from webapp.api.requests import json_body, preferences
from webapp.api.schemas import PredictRequest
from webapp.front.security import caller

OUTCOME = "sentiq.outcome"
"""In a WSGI environment: what `webapp.api.plain` found to have become of the text: a prediction, an error, or None if
it took too long.
"""
_NOT_ASKED = object()


def prediction_body(text: str, prediction: Prediction, started: float) -> dict[str, Any]:
    """The answer to a text, for a request that began at `started` (of `time.perf_counter`)."""
    scored = prediction.scored
    return {
        "text": text,
        "label": scored.label,
        "confidence": scored.confidence,
        "scores": dict(zip(LABELS, scored.scores, strict=True)),
        "truncated": scored.truncated,
        "cached": prediction.cached,
        "processing_time_ms": round((time.perf_counter() - started) * 1000, 3),
        "model": prediction.model,
    }


def predictions_blueprint(sentiment: SentimentService, *, predict_timeout_s: float) -> Blueprint:
    """The blueprint of `/predict` and `/model`."""
    blueprint = Blueprint("predictions", __name__)

    @blueprint.post("/predict")
    def predict() -> Response:
        started = time.perf_counter()
        text = PredictRequest.model_validate(json_body()).text
        prefer = preferences()
        outcome = request.environ.get(OUTCOME, _NOT_ASKED)
        if isinstance(outcome, Exception):
            raise outcome
        prediction = sentiment.predict(text, prefer.wait_or(predict_timeout_s)) if outcome is _NOT_ASKED else outcome
        if prediction is None:
            if prefer.wait_or(predict_timeout_s) > 0:  # else nobody meant to wait
                metrics.PENDING.inc()
            job, _ = sentiment.jobs.submit(Submission([(1, Entry(text))], owner=caller().owner))
            return accepted(job, prefer)
        metrics.predicted(prediction.scored.label, cached=prediction.cached)
        return Response(orjson.dumps(prediction_body(text, prediction, started)), mimetype="application/json")

    @blueprint.get("/model")
    def model() -> Response:
        info = sentiment.model()
        return Response(
            orjson.dumps({"model": info.identity, "labels": info.labels, "figures": info.figures}),
            mimetype="application/json",
        )

    return blueprint
