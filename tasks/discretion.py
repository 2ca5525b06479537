"""The rule of discretion: how an error is told without quoting what may be a user's text.

Needs the standard library alone, for programs of other environments follow their parent by `tasks.background`.
"""

from __future__ import annotations

import traceback

from tasks.errors import SentimentError

_HARMLESS = (OSError, ImportError, NameError, AttributeError, TypeError, SentimentError)
_HARMLESS_ELSEWHERE = {
    "redis.exceptions.ConnectionError",
    "redis.exceptions.TimeoutError",
    "kombu.exceptions.OperationalError",
}
"""Errors whose messages name addresses, files, names and types, but quote no value that might be somebody's text. Not
imported: Gunicorn's master configures its logs before its workers make the network libraries cooperative, and what is
imported before then stays as it is."""


def told(error: BaseException) -> str:
    """An error in one line, for a log: its type, and its message if that cannot quote a user's text."""
    name = type(error).__qualname__
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return f"{name}: {error}" if isinstance(error, _HARMLESS) or kinds & _HARMLESS_ELSEWHERE else name


def frames(error: BaseException) -> str:
    """An error and what led to it, as Python prints them, but as `told` tells them."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = [frames(before), "\n\nwhich led to:\n\n"] if before is not None else []
    if error.__traceback__ is not None:
        parts += ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]
    return "".join([*parts, told(error)])
