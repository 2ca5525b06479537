"""Logs of every process: one line an event, to standard output. Digests and lengths only, never a user's text.

JSON for machines; aligned, and coloured where colours are seen, for people. Our own records and those of libraries take
the same way. docs/logs.md has the fields.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextvars import ContextVar
from types import TracebackType
from typing import Literal

import structlog

from tasks.discretion import frames, told

CURRENT_REQUEST: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that this thread or greenlet serves. A variable of its own: to set it costs a tenth of what
structlog's cost.
"""
CURRENT_TRACE: ContextVar[str] = ContextVar("trace_id", default="")
"""Of the trace that it works for, if there are traces."""

_FIRST = ("time", "level", "role", "pid", "logger", "event")
_QUEUE_LIBRARIES = ("celery", "kombu", "amqp")
_LONGEST_ARGUMENT = 80


def _add_context(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if request_id := CURRENT_REQUEST.get():
        event.setdefault("request_id", request_id)
    if trace_id := CURRENT_TRACE.get():
        event.setdefault("trace_id", trace_id)
    return event


def _add_exception(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    given = event.pop("exc_info", None)
    error = (
        given[1]
        if isinstance(given, tuple)
        else given
        if isinstance(given, BaseException)
        else sys.exc_info()[1]
        if given
        else None
    )
    if error is not None:
        event["exception"] = frames(error)
    return event


class _Discretion(logging.Filter):
    """Celery and kombu quote messages that they cannot read, and errors: a message may hold texts."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes out of a record of theirs what might be a text."""
        if record.name.split(".")[0] in _QUEUE_LIBRARIES and record.args:
            if isinstance(record.args, dict):
                hidden = dict.fromkeys(("args", "kwargs", "exc", "traceback", "return_value"), "(not shown)")
                record.args = {name: hidden.get(name, value) for name, value in record.args.items()}
            else:
                record.args = tuple(map(self._shown, record.args))
        return True

    @staticmethod
    def _shown(argument: object) -> object:
        if isinstance(argument, BaseException):
            return told(argument)
        if isinstance(argument, int | float):
            return argument
        return argument if len(str(argument)) <= _LONGEST_ARGUMENT else f"({len(str(argument))} characters, not shown)"


def _renderer(role: str, *, json: bool) -> list[structlog.typing.Processor]:
    if json:

        def ordered(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
            event.update(role=role, pid=os.getpid())
            return {name: event[name] for name in _FIRST if name in event} | dict(event)

        return [ordered, structlog.processors.JSONRenderer()]
    colours = (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")
    # Its own way with errors would show the values of variables.
    return [
        structlog.dev.ConsoleRenderer(
            colors=colours, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        )
    ]


def configure_logs(level: str, form: Literal["auto", "json", "console"], role: str) -> None:
    """Sends structlog's and the standard library's records of this process through one formatter.

    Args:
        level: the least severe one that is written.
        form: `auto` is `console` on a terminal, else `json`.
        role: what the process is: web, interactive, batch, launcher.
    """
    json = form == "json" or (form == "auto" and not sys.stdout.isatty())
    clock = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
    if not json:
        clock = structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="time")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_context,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        clock,
        _add_exception,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_Discretion())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # Of a record's own fields ours alone: Celery adds a task's arguments.
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=["exception"]), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderer(role, json=json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # Each of these says at INFO, for every chunk, what our own metrics say better.
    for name in _QUEUE_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if json:  # else the reader of the log meets lines that are none of its own
        sys.excepthook = _tell_end
    # Python's own print an error's message, which may be a user's text, for people too.
    threading.excepthook = _tell_thread_end
    sys.unraisablehook = _tell_unraisable


def tell_uncaught(where: str, error: BaseException | None) -> None:
    """An error that nobody caught, in a line as all others."""
    kind = "error" if error is None else type(error).__qualname__
    logging.getLogger("sentiq").error("uncaught %s in %s", kind, where, exc_info=error)


def _tell_thread_end(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        tell_uncaught(f"thread {ended.thread.name if ended.thread is not None else '?'}", ended.exc_value)


def _tell_unraisable(ignored: sys.UnraisableHookArgs) -> None:
    # In a destructor, say. Not shown as it shows itself, which may be with a user's text.
    about = getattr(ignored.object, "__qualname__", type(ignored.object).__qualname__)
    tell_uncaught(about, ignored.exc_value)


def _tell_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of an error that ends the process. A SystemExit never comes here."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        # With its message: what ends a process is met at its start, or in its main thread, which sees no texts.
        logging.getLogger("sentiq").critical("ended by %s: %s", kind.__qualname__, error, exc_info=(kind, error, trace))
