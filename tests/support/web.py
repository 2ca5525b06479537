"""Web applications in the test's own process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask

from tasks.settings import Settings
from webapp.compose import flask_application, sentiment_service


@contextmanager
def web_application(settings: Settings, *, plain: bool = True) -> Iterator[Flask]:
    """An application that no longer listens in the background after the block."""
    service = sentiment_service(settings)
    try:
        yield flask_application(settings, service, plain=plain)
    finally:
        service.close()
