"""`POST /predict` in its plainest form, answered without Flask: parse, predict, answer.

Flask takes most of the time of a cache hit, and half of the web process's share of a miss. Whatever is out of the
ordinary, such as a further header or a second field, goes to Flask untouched; tests send the same requests both ways
and compare.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

import orjson
from flask import Flask

from tasks.cost import Count
from tasks.submit.service import SentimentService
from webapp.api.answers import PredictionAnswers
from webapp.api.predictions import charge_further, job_of
from webapp.api.requests import Preferences
from webapp.front.errors import IncompleteBody
from webapp.front.visit import VISIT, Visit

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_ENDPOINT = "predictions.predict"
_MAX_BYTES = 16_384
"""Larger bodies count as out of the ordinary."""
_NO_PREFERENCES = Preferences(respond_async=False, wait_s=None)


class PlainPredict:
    """A WSGI application between the front and Flask's."""

    def __init__(
        self,
        flask: Flask,
        sentiment: SentimentService,
        answers: PredictionAnswers,
        *,
        predict_timeout_s: float,
        charge: Count,
    ) -> None:
        """`charge`: as how many texts one counts against its caller's limits."""
        self._flask = flask
        self._others: Wsgi = flask.wsgi_app
        self._sentiment = sentiment
        self._answers = answers
        self._predict_timeout_s = predict_timeout_s
        self._charge = charge
        self._max_bytes = min(_MAX_BYTES, flask.config["MAX_CONTENT_LENGTH"])

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answers the request, or passes it on to Flask.

        Raises:
            IncompleteBody: the body is shorter than the request said.
            SentimentError: the text cannot be answered.
        """
        visit = VISIT.get()
        asked = _plain_text(environ, self._max_bytes) if _is_plain(environ, visit) else None
        if asked is None:
            return self._others(environ, start_response)
        text, model = asked
        if (texts := self._charge(text)) > 1:
            charge_further(texts)
        prediction = self._sentiment.predict(text, self._predict_timeout_s, visit.caller.id, model)
        if prediction is None:
            with self._flask.request_context(environ):  # needed for the addresses of jobs
                answer = job_of(text, model, self._sentiment, _NO_PREFERENCES, waited=True)
                return answer(environ, start_response)
        body = self._answers.prediction(text, prediction, visit.started)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def _is_plain(environ: dict[str, Any], visit: Visit) -> bool:
    """Whether the request, as far as its headers say, asks for nothing but a prediction."""
    length = environ.get("CONTENT_LENGTH", "")
    return (
        visit.route.endpoint == _ENDPOINT
        and environ["REQUEST_METHOD"] == "POST"
        and environ.get("CONTENT_TYPE") == "application/json"
        and not environ.get("QUERY_STRING")
        and "HTTP_CONTENT_ENCODING" not in environ
        and "HTTP_PREFER" not in environ
        and "HTTP_UPGRADE" not in environ
        and len(length) < 10
        and length.isascii()
        and length.isdigit()
    )


def _plain_text(environ: dict[str, Any], max_bytes: int) -> tuple[str, str | None] | None:
    """The text and the model's name, if the body is `{"text": ...}`, or that and `"model": ...`, and nothing else.
    Otherwise None, and the body can be read again.
    """
    length = int(environ["CONTENT_LENGTH"])
    if length > max_bytes:
        return None
    try:
        raw = environ["wsgi.input"].read(length)
    except OSError:  # the connection is lost
        raise IncompleteBody from None
    if len(raw) < length:
        raise IncompleteBody
    try:
        asked = orjson.loads(raw)
    except orjson.JSONDecodeError:
        asked = None
    if isinstance(asked, dict) and isinstance(text := asked.get("text"), str):
        if len(asked) == 1:
            return text, None
        if len(asked) == 2 and isinstance(model := asked.get("model"), str):
            return text, model
    environ["wsgi.input"] = io.BytesIO(raw)
    return None
