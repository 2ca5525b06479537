"""The application factory."""

from __future__ import annotations

import csv
import time
import uuid

import structlog
from flask import Flask, Response, g, request

from tasks.service import SentimentService
from tasks.settings import Settings
from webapp.docs import docs_blueprint
from webapp.errors import register_errors
from webapp.health import health_blueprint
from webapp.jobs import jobs_blueprint
from webapp.metrics import register_metrics
from webapp.plain import PlainPredict
from webapp.predictions import predictions_blueprint
from webapp.requests import REQUEST_ID
from webapp.security import caller, register_security
from webapp.uploads import MAX_JSON_BYTES, UploadLimits

_log = structlog.get_logger(__name__)


def create_app(settings: Settings, sentiment: SentimentService) -> Flask:
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
    app.register_blueprint(jobs_blueprint(sentiment.jobs, limits, sentiment.predict_many, predict_timeout_s=settings.predict_timeout))
    app.register_blueprint(health_blueprint(sentiment))
    app.register_blueprint(docs_blueprint())
    verbose = settings.log_level == "debug"
    _register_request_ids(app, verbose=verbose)
    guard = register_security(app, settings)
    registry = register_metrics(app, settings)
    if not verbose:  # which promises a line for each request
        plain = PlainPredict(app, sentiment, registry, guard, predict_timeout_s=settings.predict_timeout)
        app.wsgi_app = plain  # type: ignore[method-assign]
    return app


def _register_request_ids(app: Flask, *, verbose: bool) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-ID", "")
        g.request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        g.started = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-ID"] = g.get("request_id", "")
        # What went well at once is in the metrics; a line for each would cost more than answering from the cache.
        quiet = response.status_code < 202 or response.status_code == 304 or request.path.startswith(("/health", "/metrics"))
        if quiet and not verbose:
            return response
        log = _log.debug if quiet else _log.info
        who = {} if (name := caller().owner) is None else {"caller": name}
        log(
            "answered",
            method=request.method,
            path=request.path[:200],
            status=response.status_code,
            ms=round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
            **who,
        )
        return response

    @app.teardown_request
    def forget(_: BaseException | None) -> None:
        structlog.contextvars.unbind_contextvars("request_id")
