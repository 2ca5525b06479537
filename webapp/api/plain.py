"""`POST /predict` in its plainest form, answered before Flask sees the request.

Most of a cache hit's time, and half of the web's part in a miss, is the framework's. Whatever is out of the ordinary,
from a header to a second field or an error, goes to Flask untouched, and a test compares the two answers.
"""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from flask import Flask
from prometheus_client import CollectorRegistry

from tasks import metrics
from tasks.errors import SentimentError
from tasks.logs import CURRENT_REQUEST
from tasks.submit.service import Prediction, SentimentService
from webapp.api.predictions import OUTCOME, prediction_body
from webapp.api.requests import REQUEST_ID
from webapp.front.access import SLOW_S, AccessLog
from webapp.front.security import HEADERS, Guard

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_MAX_BYTES = 16_384
_RULE = "/predict"
STARTED = "sentiq.started"
"""In a WSGI environment: when the request began, of `time.perf_counter`, if it was tried here."""


class PlainPredict:
    """A WSGI application around Flask's."""

    def __init__(
        self,
        app: Flask,
        sentiment: SentimentService,
        registry: CollectorRegistry,
        guard: Guard,
        access_log: AccessLog,
        *,
        predict_timeout_s: float,
    ) -> None:
        self._app: Wsgi = app.wsgi_app
        self._sentiment = sentiment
        self._guard = None if guard.idle else guard
        self._access_log = access_log
        self._predict_timeout_s = predict_timeout_s
        # The exporter's own, so that these requests count as all others do.
        exporter = registry._names_to_collectors
        self._total = exporter["flask_http_request_total"].labels(method="POST", status="200")  # type: ignore[attr-defined]
        duration = exporter["flask_http_request_duration_seconds"]
        self._duration = duration.labels(method="POST", url_rule=_RULE, status="200")  # type: ignore[attr-defined]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers, or hands over."""
        if environ["PATH_INFO"] == _RULE and environ["REQUEST_METHOD"] == "POST":
            started = time.perf_counter()
            text = _plain_text(environ)
            request_id = environ.get("HTTP_X_REQUEST_ID", "")
            if not REQUEST_ID.fullmatch(request_id):
                request_id = environ["HTTP_X_REQUEST_ID"] = uuid.uuid4().hex
            more: list[tuple[str, str]] | None = []
            if self._guard is not None and text is not None and (more := self._let_in(self._guard, environ)) is None:
                text = None
            if text is not None and (prediction := self._predict(text, environ, request_id)) is not None:
                body = orjson.dumps(prediction_body(text, prediction, started))
                metrics.predicted(prediction.scored.label, cached=prediction.cached)
                headers = [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(body))),
                    ("X-Request-ID", request_id),
                    *HEADERS,
                    *(more or ()),
                ]
                start_response("200 OK", headers)
                self._total.inc()
                seconds = time.perf_counter() - started
                self._duration.observe(seconds)
                if seconds > SLOW_S or self._access_log.everything:
                    self._access_log.tell("POST", _RULE, 200, seconds, request_id=request_id)
                return [body]
            environ[STARTED] = started
        return self._app(environ, start_response)

    @staticmethod
    def _let_in(guard: Guard, environ: dict[str, Any]) -> list[tuple[str, str]] | None:
        try:
            return guard.plain(environ)
        except SentimentError as error:
            environ[OUTCOME] = error
            return None

    def _predict(self, text: str, environ: dict[str, Any], request_id: str) -> Prediction | None:
        current = CURRENT_REQUEST.set(request_id)
        try:
            prediction = self._sentiment.predict(text, self._predict_timeout_s)
        except Exception as error:  # of any kind: errors are told in one place
            environ[OUTCOME] = error
            return None
        finally:
            CURRENT_REQUEST.reset(current)
        environ[OUTCOME] = prediction
        return prediction


def _plain_text(environ: dict[str, Any]) -> str | None:
    """The text of a request that has nothing but one; its body can be read again."""
    length = environ.get("CONTENT_LENGTH", "")
    plain = environ.get("CONTENT_TYPE") == "application/json" and not environ.get("QUERY_STRING")
    plain = plain and "HTTP_CONTENT_ENCODING" not in environ and "HTTP_PREFER" not in environ
    if not plain or not (length.isascii() and length.isdigit()) or int(length) > _MAX_BYTES:
        return None
    try:
        raw = environ["wsgi.input"].read(int(length))
    except SentimentError:  # it comes too slowly; Flask meets that again, and tells it
        return None
    environ["wsgi.input"] = io.BytesIO(raw)
    try:
        asked = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if isinstance(asked, dict) and len(asked) == 1 and isinstance(text := asked.get("text"), str):
        return text
    return None
