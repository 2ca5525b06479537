"""`POST /predict`: one text, answered at once if it is cached, else after a short wait. `GET /model`: the model that
answers.
"""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, request

from tasks import metrics
from tasks.jobs.job import Entry
from tasks.submit.intake import Submission
from tasks.submit.jobs import JobService
from tasks.submit.service import ModelInfo, SentimentService
from webapp.api.answers import PredictionAnswers
from webapp.api.jobs import accepted
from webapp.api.requests import Preferences, json_body, preferences
from webapp.api.schemas import ModelQuery, PredictRequest
from webapp.front.visit import caller, visit

_DESCRIBED = (
    "name",
    "form",
    "classes",
    "guessed",
    "two_class",
    "calibrated",
    "languages",
    "uncertain_below",
    "max_tokens",
    "gate",
)


def job_of(text: str, model: str | None, jobs: JobService, prefer: Preferences, *, waited: bool) -> Response:
    """Answers a text that has no prediction yet with a job of its own. `model`: the name of the model that was asked
    for; `waited`: the caller has waited in vain.
    """
    job, _ = jobs.submit(Submission([(1, Entry(text))], model=model, caller=caller().id, owner=caller().owner))
    if waited:
        metrics.PENDING.inc()
    return accepted(job, prefer, {})  # nothing has scored yet


def model_body(info: ModelInfo) -> dict[str, object]:
    """A model as `/model` shows it. What its workers tell is null while none has been ready."""
    body: dict[str, object] = {"model": info.identity, "labels": info.labels, "figures": info.figures}
    about = info.description
    if about is None:
        return body | dict.fromkeys(_DESCRIBED)
    return body | {
        "name": info.identity.partition("@")[0] if info.identity is not None else None,
        "form": about.form,
        "classes": [{"name": name, "label": label} for name, label in zip(about.names, about.mapped, strict=True)],
        "guessed": about.guessed,
        "two_class": about.two_class,
        "calibrated": about.calibrated,
        "languages": about.languages,
        "uncertain_below": about.uncertain_below,
        "max_tokens": about.max_tokens or None,
        "gate": about.trials,
    }


def predictions_blueprint(
    sentiment: SentimentService, answers: PredictionAnswers, *, predict_timeout_s: float
) -> Blueprint:
    """The blueprint of `/predict` and `/model`."""
    blueprint = Blueprint("predictions", __name__)

    @blueprint.post("/predict")
    def predict() -> Response:
        asked = PredictRequest.read(json_body())
        prefer = preferences()
        wait_s = prefer.wait_or(predict_timeout_s)
        prediction = sentiment.predict(asked.text, wait_s, caller().id, asked.model)
        if prediction is None:
            return job_of(asked.text, asked.model, sentiment.jobs, prefer, waited=wait_s > 0)
        return Response(answers.prediction(asked.text, prediction, visit().started), mimetype="application/json")

    @blueprint.get("/model")
    def model() -> Response:
        info = sentiment.model(ModelQuery.read(request.args.to_dict()).model)
        return Response(orjson.dumps(model_body(info)), mimetype="application/json")

    return blueprint
