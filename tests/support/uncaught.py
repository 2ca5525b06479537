"""A web application in which errors go uncaught, with the request's body in them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import gevent


def _fail(text: str) -> None:
    raise ValueError(text)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Any request, also of a health check."""
    text = environ["wsgi.input"].read().decode()
    threading.Thread(target=_fail, args=(text,), name="replies").start()
    gevent.spawn(_fail, text)
    gevent.get_hub().loop.run_callback(_fail, text)
    start_response("200 OK", [])
    return [b"done"]
