"""The rule of discretion: describes errors in logs without quoting anything that may be a user's text.

It imports the standard library only, as `tasks.background` is also used by programs in other environments.
"""

from __future__ import annotations

import traceback

from tasks.errors import SentimentError

_HARMLESS = (OSError, ImportError, NameError, AttributeError, TypeError, SentimentError)
_HARMLESS_ELSEWHERE = {
    "redis.exceptions.ConnectionError",
    "redis.exceptions.TimeoutError",
    "kombu.exceptions.OperationalError",
    "tasks.wire.FormatError",
}
"""Names of further errors whose messages name addresses, files, names and types, but quote no value that may be a text.

They are not imported: Gunicorn's master configures logging before its workers make the network libraries cooperative,
and whatever is imported before that is not made cooperative.
"""


def told(error: BaseException) -> str:
    """An error in one line, for a log: its type, and its message only if that cannot quote a user's text."""
    name = type(error).__qualname__
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return f"{name}: {error}" if isinstance(error, _HARMLESS) or kinds & _HARMLESS_ELSEWHERE else name


def frames(error: BaseException) -> str:
    """An error and its causes as Python prints them, except that each error is described by `told`."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    parts = [frames(before), "\n\nwhich led to:\n\n"] if before is not None else []
    if error.__traceback__ is not None:
        parts += ["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]
    return "".join([*parts, told(error)])
