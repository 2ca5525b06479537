"""The application factory."""

from __future__ import annotations

import csv

from flask import Flask
from prometheus_client.registry import Collector

from tasks.settings import Settings
from tasks.store.limits import Limits
from tasks.submit.service import SentimentService
from tasks.tracing import Tracing
from webapp.api.answers import PredictionAnswers
from webapp.api.docs import docs_blueprint
from webapp.api.health import health_blueprint
from webapp.api.jobs import jobs_blueprint
from webapp.api.metrics import metrics_blueprint
from webapp.api.plain import PlainPredict
from webapp.api.predictions import predictions_blueprint
from webapp.api.uploads import MAX_JSON_BYTES, UploadLimits
from webapp.front.access import AccessLog
from webapp.front.admission import Admission
from webapp.front.counts import Counts
from webapp.front.errors import problem_of
from webapp.front.front import Front
from webapp.front.headers import AnswerHeaders
from webapp.front.routes import Routes
from webapp.front.traces import Traces


def create_app(
    settings: Settings,
    sentiment: SentimentService,
    *,
    limits: Limits | None,
    queues: Collector,
    tracing: Tracing | None = None,
    plain: bool = True,
) -> Flask:
    """The web application on a given service: the front around Flask's application.

    Args:
        settings: of the service.
        sentiment: what predicts.
        limits: callers' limits, if there are any.
        queues: metrics of queues, workers and jobs.
        tracing: if there are traces.
        plain: plain requests of `/predict` pass by Flask.
    """
    app = Flask(__name__, static_folder=None)
    # The limit for bodies that are read whole; uploads are streams with limits of their own.
    app.config["MAX_CONTENT_LENGTH"] = min(settings.max_upload_bytes, MAX_JSON_BYTES)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.register_error_handler(Exception, problem_of)
    counts = Counts()
    # An escaped character of JSON has up to 12 bytes; a line holds other things beside its text.
    uploads = UploadLimits(settings.max_upload_bytes, max_line_bytes=12 * settings.max_text_chars + 65_536)
    csv.field_size_limit(uploads.max_line_bytes)  # the module's own is lower, and one for the process
    timeout_s = settings.predict_timeout
    answers = PredictionAnswers(sentiment.analysis)
    for blueprint in (
        predictions_blueprint(sentiment, answers, predict_timeout_s=timeout_s),
        jobs_blueprint(sentiment.jobs, uploads, sentiment.predict_many, answers, predict_timeout_s=timeout_s),
        health_blueprint(sentiment),
        docs_blueprint(sentiment.analysis),
        metrics_blueprint(queues, counts.registry),
    ):
        app.register_blueprint(blueprint)
    app.wsgi_app = Front(  # type: ignore[method-assign]
        PlainPredict(app, sentiment, answers, predict_timeout_s=timeout_s) if plain else app.wsgi_app,
        routes=Routes(app.url_map),
        admission=Admission(settings, limits),
        headers=AnswerHeaders(settings.cors_origins),
        counts=counts,
        access_log=AccessLog(everything=settings.access_log or settings.log_level == "debug"),
        traces=Traces(tracing) if tracing is not None else None,
    )
    return app
