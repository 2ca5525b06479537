"""A web application whose errors are not caught and quote the request's body."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import gevent


def _fail(text: str) -> None:
    raise ValueError(text)


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers any request, a health check too, while errors happen in a thread, a greenlet and a callback."""
    text = environ["wsgi.input"].read().decode()
    threading.Thread(target=_fail, args=(text,), name="replies").start()
    gevent.spawn(_fail, text)
    gevent.get_hub().loop.run_callback(_fail, text)
    start_response("200 OK", [])
    return [b"done"]
