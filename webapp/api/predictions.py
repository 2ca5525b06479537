"""`POST /predict`: one text, answered at once if it is cached, else after a short wait. `GET /model`: the model that
answers.
"""

from __future__ import annotations

import orjson
from flask import Blueprint, Response, request

from tasks import metrics
from tasks.cost import Count
from tasks.errors import NotMentioned
from tasks.jobs.job import Entry
from tasks.submit.asked import NOTHING, Asked
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


def charge_further(texts: int) -> None:
    """Counts a request that counts as so many texts against the caller's limits; one was counted when it came in.

    Raises:
        RateLimited, QuotaExceeded: the caller has too few left.
    """
    if texts > 1:
        caller().charge(rate=texts - 1, quota=texts - 1, rate_counted=1)


def job_of(
    text: str, model: str | None, jobs: JobService, prefer: Preferences, *, waited: bool, asked: Asked = NOTHING
) -> Response:
    """Answers a text that has no prediction yet with a job of its own. `model`: the name of the model that was asked
    for; `waited`: the caller has waited in vain; `asked`: what is asked of the text.
    """
    job, _ = jobs.submit(
        Submission([(1, Entry(text))], model=model, caller=caller().id, owner=caller().owner, asked=asked)
    )
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
    sentiment: SentimentService, answers: PredictionAnswers, *, predict_timeout_s: float, charge: Count
) -> Blueprint:
    """The blueprint of `/predict` and `/model`. `charge`: as how many texts one counts against its caller's limits."""
    blueprint = Blueprint("predictions", __name__)

    @blueprint.post("/predict")
    def predict() -> Response:
        asked = PredictRequest.read(json_body())
        prefer = preferences()
        wait_s = prefer.wait_or(predict_timeout_s)
        wanted = Asked(asked.target, asked.sentences, asked.explain)
        if wanted != NOTHING:
            return read(asked, wanted, prefer, wait_s)
        charge_further(charge(asked.text))
        prediction = sentiment.predict(asked.text, wait_s, caller().id, asked.model)
        if prediction is None:
            return job_of(asked.text, asked.model, sentiment.jobs, prefer, waited=wait_s > 0)
        return Response(answers.prediction(asked.text, prediction, visit().started), mimetype="application/json")

    def read(asked: PredictRequest, wanted: Asked, prefer: Preferences, wait_s: float) -> Response:
        """Answers a text of which more is asked than its prediction."""
        try:
            reading = sentiment.read(asked.text, wanted, asked.model)
        except NotMentioned:
            assert asked.target is not None
            return Response(
                answers.not_mentioned(asked.text, asked.target, visit().started), mimetype="application/json"
            )
        charge_further(reading.charge(charge))
        found = sentiment.predict_reading(reading, wait_s, caller().id, asked.model)
        if found is None:
            return job_of(asked.text, asked.model, sentiment.jobs, prefer, waited=wait_s > 0, asked=wanted)
        return Response(answers.reading(reading, *found, visit().started), mimetype="application/json")

    @blueprint.get("/model")
    def model() -> Response:
        info = sentiment.model(ModelQuery.read(request.args.to_dict()).model)
        return Response(orjson.dumps(model_body(info)), mimetype="application/json")

    return blueprint
