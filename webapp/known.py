"""`POST /predict` for a text that this process has met lately, answered before Flask sees the request.

Most of a cache hit's time is the framework's. Whatever is out of the ordinary, from a header to a second field, goes to Flask untouched,
and a test compares the two answers byte for byte.
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
from tasks.service import SentimentService
from webapp.predictions import prediction_body
from webapp.requests import REQUEST_ID

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_MAX_BYTES = 16_384
_RULE = "/predict"


class KnownTexts:
    """A WSGI application around Flask's."""

    def __init__(self, app: Flask, sentiment: SentimentService, registry: CollectorRegistry) -> None:
        self._app: Wsgi = app.wsgi_app
        self._sentiment = sentiment
        # The exporter's own, so that these requests count as all others do.
        exporter = registry._names_to_collectors
        self._total = exporter["flask_http_request_total"].labels(method="POST", status="200")  # type: ignore[attr-defined]
        duration = exporter["flask_http_request_duration_seconds"]
        self._duration = duration.labels(method="POST", url_rule=_RULE, status="200")  # type: ignore[attr-defined]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers, or hands over."""
        if environ["PATH_INFO"] == _RULE and environ["REQUEST_METHOD"] == "POST":
            started = time.perf_counter()
            if (body := self._answer(environ, started)) is not None:
                given = environ.get("HTTP_X_REQUEST_ID", "")
                headers = [
                    ("Content-Type", "application/json"),
                    ("Content-Length", str(len(body))),
                    ("X-Request-ID", given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex),
                    ("X-Content-Type-Options", "nosniff"),
                ]
                start_response("200 OK", headers)
                self._total.inc()
                self._duration.observe(time.perf_counter() - started)
                return [body]
        return self._app(environ, start_response)

    def _answer(self, environ: dict[str, Any], started: float) -> bytes | None:
        length = environ.get("CONTENT_LENGTH", "")
        plain = environ.get("CONTENT_TYPE") == "application/json" and "HTTP_CONTENT_ENCODING" not in environ
        if not plain or not (length.isascii() and length.isdigit()) or int(length) > _MAX_BYTES or environ.get("QUERY_STRING"):
            return None
        raw = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = io.BytesIO(raw)
        try:
            asked = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(asked, dict) or len(asked) != 1 or not isinstance(text := asked.get("text"), str):
            return None
        prediction = self._sentiment.recent(text)
        if prediction is None:
            return None
        metrics.PREDICTIONS.labels(prediction.scored.label, "cache").inc()
        return orjson.dumps(prediction_body(text, prediction, started))
