"""The application factory."""

from __future__ import annotations

import csv
import time
import uuid

from flask import Flask, Response, g, request

from tasks.logs import CURRENT_REQUEST
from tasks.settings import Settings
from tasks.submit.service import SentimentService
from tasks.tracing import Tracing
from webapp.api.docs import docs_blueprint
from webapp.api.health import health_blueprint
from webapp.api.jobs import jobs_blueprint
from webapp.api.plain import STARTED, PlainPredict
from webapp.api.predictions import predictions_blueprint
from webapp.api.requests import REQUEST_ID
from webapp.api.uploads import MAX_JSON_BYTES, UploadLimits
from webapp.front.access import AccessLog
from webapp.front.errors import register_errors
from webapp.front.metrics import register_metrics
from webapp.front.security import caller, register_security
from webapp.front.traced import RULE, Traced


def create_app(settings: Settings, sentiment: SentimentService, tracing: Tracing | None = None) -> Flask:
    """The web application on a given service."""
    app = Flask(__name__, static_folder=None)
    # Of what is read whole; uploads are a stream and have limits of their own.
    app.config["MAX_CONTENT_LENGTH"] = min(settings.max_upload_bytes, MAX_JSON_BYTES)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    register_errors(app)
    app.register_blueprint(predictions_blueprint(sentiment, predict_timeout_s=settings.predict_timeout))
    # An escaped character of JSON has up to 12 bytes; a line holds other things beside its text.
    limits = UploadLimits(settings.max_upload_bytes, max_line_bytes=12 * settings.max_text_chars + 65_536)
    csv.field_size_limit(limits.max_line_bytes)  # the module's own is lower, and one for the process
    app.register_blueprint(
        jobs_blueprint(sentiment.jobs, limits, sentiment.predict_many, predict_timeout_s=settings.predict_timeout)
    )
    app.register_blueprint(health_blueprint(sentiment))
    app.register_blueprint(docs_blueprint())
    access_log = AccessLog(everything=settings.access_log or settings.log_level == "debug")
    _register_request_ids(app, access_log)
    guard = register_security(app, settings)
    registry = register_metrics(app, settings)
    plain = PlainPredict(app, sentiment, registry, guard, access_log, predict_timeout_s=settings.predict_timeout)
    app.wsgi_app = plain if tracing is None else Traced(plain, tracing)  # type: ignore[method-assign]
    return app


def _register_request_ids(app: Flask, access_log: AccessLog) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        g.started = request.environ.get(STARTED) or time.perf_counter()
        CURRENT_REQUEST.set(g.request_id)
        if request.url_rule is not None:
            request.environ[RULE] = request.url_rule.rule

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.get("request_id", "")
        seconds = time.perf_counter() - g.get("started", time.perf_counter())
        more = {"caller": caller().owner, "job_id": response.headers.get("Location", "").partition("/jobs/")[2]}
        access_log.tell(
            request.method, request.path, response.status_code, seconds, patient="Prefer" in request.headers, **more
        )
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        CURRENT_REQUEST.set("")  # the connection's greenlet goes on
