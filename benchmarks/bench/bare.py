"""The least that a server can do: read the request and answer with a constant prediction."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

_BODY = (
    b'{"text":"What a show, I loved it!","label":"POSITIVE","confidence":0.98,'
    b'"scores":{"NEGATIVE":0.01,"NEUTRAL":0.01,"POSITIVE":0.98},'
    b'"cached":true,"processing_time_ms":0.01,"model":"constant"}'
)
_HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(_BODY)))]


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    """The WSGI application."""
    environ["wsgi.input"].read()
    start_response("200 OK", _HEADERS)
    return [_BODY]
