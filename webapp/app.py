"""The application factory."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import partial

from flask import Flask
from prometheus_client.registry import Collector

from model.labels import SENTIMENT
from tasks.cost import charges
from tasks.keys import ApiKey
from tasks.settings import Settings
from tasks.store.limits import Limits
from tasks.store.sessions import Sessions
from tasks.submit.backlog import Backlog
from tasks.submit.service import SentimentService
from tasks.tracing import Tracing
from webapp.api.answers import PredictionAnswers
from webapp.api.compare import compare_blueprint
from webapp.api.docs import docs_blueprint
from webapp.api.events import Listeners
from webapp.api.health import counts_nothing, health_blueprint
from webapp.api.job_labels import Labelling, job_labels_blueprint
from webapp.api.jobs import jobs_blueprint
from webapp.api.metrics import collected, metrics_blueprint
from webapp.api.plain import PlainPredict
from webapp.api.predictions import predictions_blueprint
from webapp.api.queue import queue_blueprint
from webapp.api.reports import report_maker, reports_blueprint
from webapp.api.stream_labels import labels_blueprint
from webapp.api.streams import streams_blueprint
from webapp.front.access import AccessLog
from webapp.front.admission import Admission
from webapp.front.counts import Counts
from webapp.front.front import Front
from webapp.front.headers import AnswerHeaders
from webapp.front.routes import Routes
from webapp.front.signed_in import SignedIn
from webapp.front.traces import Traces
from webapp.pages.blueprint import pages_blueprint
from webapp.pages.files import add_files
from webapp.pages.job_label import add_job_label
from webapp.pages.page import Pages
from webapp.pages.problems import problem_for, problem_in
from webapp.pages.status import Links
from webapp.pages.streams import add_streams
from webapp.reading.texts import Limits as UploadLimits
from webapp.sandbox.process import Sandbox

_ALSO_PAGES = frozenset({"streams.all_streams", "streams.stream"})
"""Endpoints of the API in whose place browsers get a page."""
_TEXT_BYTES = 1024 * 1024
"""The largest body of `/predict`, unless MAX_TEXT_CHARS allows texts that need more."""


def create_app(
    settings: Settings,
    sentiment: SentimentService,
    *,
    limits: Limits | None,
    sessions: Sessions,
    queues: Collector,
    keys: Mapping[str, ApiKey],
    backlog: Backlog,
    tracing: Tracing | None = None,
    plain: bool = True,
) -> Flask:
    """The web application on a given service: the front around Flask's application.

    Args:
        settings: the service's settings.
        sentiment: answers texts and keeps jobs.
        limits: callers' limits; None if there are none.
        sessions: of people who have signed in on a page.
        queues: metrics of queues, workers and jobs.
        keys: the API keys that are valid now, by digest; there are none as long as the process runs, or always some.
        backlog: tells what waits.
        tracing: None unless traces are kept.
        plain: whether plain requests to `/predict` are answered without Flask.
    """
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    counts = Counts()
    # A character that is escaped in JSON takes up to 12 bytes, and a line holds other things besides the text.
    uploads = UploadLimits(settings.max_upload_bytes, max_line_bytes=12 * settings.max_text_chars + 65_536)
    # The limit for bodies that are read whole, which hold one text; uploads are streams with limits of their own.
    app.config["MAX_CONTENT_LENGTH"] = min(settings.max_upload_bytes, max(_TEXT_BYTES, uploads.max_line_bytes))
    sandbox = Sandbox(
        settings.data_dir.absolute() / "uploads", max_bytes=uploads.max_bytes, max_line_bytes=uploads.max_line_bytes
    )
    csv.field_size_limit(uploads.max_line_bytes)  # the default is lower; it holds for the whole process
    listeners = Listeners()  # to jobs and to streams together
    timeout_s = settings.predict_timeout
    charge = charges(whole=settings.long_texts == "windows")
    answers = PredictionAnswers(sentiment.analysis, sentiment.described, sentiment.compiling_for)
    pages = Pages(has_keys=bool(keys), has_streams=sentiment.analysis == SENTIMENT)
    app.register_error_handler(Exception, partial(problem_for, pages))
    made = report_maker(sentiment.jobs, sentiment.job_labels, sandbox)
    for_people = pages_blueprint(
        pages,
        sentiment,
        keys,
        sessions,
        Links(settings.grafana_url, settings.flower_url),
        partial(collected, queues, counts.registry),
    )
    add_files(for_people, pages, sentiment.jobs, uploads, sandbox, made)
    labelling = Labelling(sentiment.jobs, sentiment.job_labels, made)
    add_job_label(for_people, pages, labelling)
    add_streams(for_people, pages, sentiment.streams, listeners, lambda: counts_nothing(sentiment))
    for blueprint in (
        for_people,
        predictions_blueprint(sentiment, answers, predict_timeout_s=timeout_s, charge=charge),
        jobs_blueprint(
            sentiment.jobs,
            uploads,
            sentiment.predict_many,
            answers,
            sandbox,
            listeners,
            predict_timeout_s=timeout_s,
            charge=charge,
        ),
        reports_blueprint(sentiment.jobs, made),
        streams_blueprint(sentiment.streams, sentiment.jobs, uploads, answers, sandbox, listeners),
        job_labels_blueprint(labelling),
        labels_blueprint(sentiment.streams),
        compare_blueprint(sentiment.streams),
        health_blueprint(sentiment),
        docs_blueprint(sentiment.analysis, settings.url_prefix, pages),
        metrics_blueprint(queues, counts.registry),
        queue_blueprint(backlog),
    ):
        app.register_blueprint(blueprint)
    app.wsgi_app = Front(  # type: ignore[method-assign]
        PlainPredict(app, sentiment, answers, predict_timeout_s=timeout_s, charge=charge) if plain else app.wsgi_app,
        routes=Routes(app.url_map, _ALSO_PAGES),
        admission=Admission(settings, keys, limits, SignedIn(keys, sessions)),
        headers=AnswerHeaders(settings.cors_origins),
        counts=counts,
        access_log=AccessLog(everything=settings.access_log or settings.log_level == "debug"),
        traces=Traces(tracing) if tracing is not None else None,
        prefix=settings.url_prefix,
        problem=partial(problem_in, app, pages),
    )
    return app
