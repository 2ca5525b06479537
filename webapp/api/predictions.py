"""`POST /predict`: one text, answered at once if it is cached, else after a short wait. `GET /model`: the model that
answers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import orjson
from flask import Blueprint, Response, request

from tasks import metrics
from tasks.cost import Count
from tasks.errors import NotMentioned
from tasks.jobs.job import Entry
from tasks.store.outcomes import Scored
from tasks.streams.lines import Facts, StreamEntry
from tasks.streams.stream import Stream
from tasks.submit.asked import NOTHING, Asked
from tasks.submit.intake import Into, Submission
from tasks.submit.service import ModelInfo, SentimentService
from tasks.submit.streams import StreamService
from webapp.api.answers import PredictionAnswers
from webapp.api.health import compiling_body
from webapp.api.health_schemas import ModelQuery
from webapp.api.jobs import accepted
from webapp.api.prediction_schemas import PredictRequest
from webapp.api.requests import Preferences, json_body, preferences
from webapp.api.streams import find
from webapp.front.visit import caller, visit
from webapp.reading.refusals import invalid_option
from webapp.reading.stream_lines import LineOptions, NotAFact, read_facts

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
    text: str,
    model: str | None,
    sentiment: SentimentService,
    prefer: Preferences,
    *,
    waited: bool,
    asked: Asked = NOTHING,
    place: Place | None = None,
) -> Response:
    """Answers a text that has no prediction yet with a job of its own. `model`: the name of the model that was asked
    for; `waited`: the caller has waited in vain; `asked`: what is asked of the text; `place`: where it is counted.
    """
    entry = Entry(text) if place is None else StreamEntry(text, facts=place.facts)
    into = None if place is None else Into(place.stream, keeps=True)
    job, _ = sentiment.jobs.submit(
        Submission([(1, entry)], model=model, caller=caller().id, owner=caller().owner, asked=asked, into=into)
    )
    if waited:
        metrics.PENDING.inc()
    mark = sentiment.compiling_for(model)
    flags = {} if mark is None else {"compiling": compiling_body(mark)}  # nothing else is known: nothing has scored yet
    return accepted(job, prefer, flags)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text is counted: the stream, and what is known of the text."""

    stream: Stream
    facts: Facts


def place_of(asked: PredictRequest, streams: StreamService) -> Place | None:
    """Where a request wants its text counted; None if nowhere.

    Raises:
        UploadRefused: what it says of the text cannot be read, or is said without a stream.
        StreamNotFound: the caller has no such stream.
        StorageQuotaExceeded: the caller's streams keep as much as they may.
    """
    if asked.stream is None:
        said = (asked.segment, asked.time, asked.author, asked.id)
        if any(one is not None for one in said):
            raise invalid_option("`segment`, `time`, `author` and `id` have no effect without `stream`.")
        return None
    if asked.target is not None or asked.sentences or asked.explain or asked.model is not None:
        raise invalid_option("A text that is counted in a stream has no `target`, `sentences`, `explain` or `model`.")
    try:
        facts = read_facts(
            LineOptions(),
            time.time(),
            time="" if asked.time is None else str(asked.time),
            segment=asked.segment or "",
            author=asked.author or "",
            id="" if asked.id is None else str(asked.id),
        )
    except NotAFact as error:
        raise invalid_option(str(error)) from None
    stream = find(streams, asked.stream)
    streams.require_room(stream.owner)
    return Place(stream, facts)


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
        place = place_of(asked, sentiment.streams)
        wait_s = prefer.wait_or(predict_timeout_s)
        wanted = Asked(asked.target, asked.sentences, asked.explain)
        if wanted != NOTHING:
            return read(asked, wanted, prefer, wait_s)
        charge_further(charge(asked.text))
        prediction = sentiment.predict(asked.text, wait_s, caller().id, asked.model)
        if prediction is None:
            return job_of(asked.text, asked.model, sentiment, prefer, waited=wait_s > 0, place=place)
        if place is not None:
            count(asked.text, place, prediction.scored)
        return Response(answers.prediction(asked.text, prediction, visit().started), mimetype="application/json")

    def count(text: str, place: Place, scored: Scored) -> None:
        """Counts a text that was answered; one in which names are masked is scored a second time by a job."""
        if not sentiment.streams.must_mask(place.stream, text, place.facts):
            sentiment.streams.count(place.stream, text, place.facts, scored)
            return
        entry = StreamEntry(text, facts=place.facts)
        sentiment.jobs.submit(
            Submission([(1, entry)], caller=caller().id, owner=caller().owner, into=Into(place.stream))
        )

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
            return job_of(asked.text, asked.model, sentiment, prefer, waited=wait_s > 0, asked=wanted)
        return Response(answers.reading(reading, *found, visit().started), mimetype="application/json")

    @blueprint.get("/model")
    def model() -> Response:
        info = sentiment.model(ModelQuery.read(request.args.to_dict()).model)
        return Response(orjson.dumps(model_body(info)), mimetype="application/json")

    return blueprint
