"""Logging of every process: one line for each event, to standard output; digests and lengths, never a user's text.

The lines are JSON for machines, or aligned (and coloured on a terminal) for people. Our own records and those of
libraries go through the same formatter. docs/logs.md lists the fields.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextvars import ContextVar
from types import TracebackType
from typing import Literal, TextIO

import structlog

from tasks.discretion import frames, told

CURRENT_REQUEST: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this thread or greenlet serves. Setting it takes a tenth of structlog's own variables."""
CURRENT_TRACE: ContextVar[str] = ContextVar("trace_id", default="")
"""The id of the trace that this thread or greenlet works for, if traces are on."""

_FIRST = ("time", "level", "role", "pid", "logger", "event")
_QUEUE_LIBRARIES = ("celery", "kombu", "amqp")
_LONGEST_ARGUMENT = 80
_OURS = "sentiq"


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
    """Removes users' texts from the records of Celery and kombu, which quote errors and messages they cannot read."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replaces those arguments of a record that may be a text."""
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


class _Output(logging.StreamHandler[TextIO]):
    """Writes records. For one that cannot be written, `logging` itself would print the arguments on stderr."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Logs that a record could not be written, unless that fails too or the output is closed."""
        error = sys.exc_info()[1]
        if record.name != _OURS and not isinstance(error, OSError):
            tell_uncaught(f"a record of {record.name}", error)


def _add_escapes(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Writes what could steer a terminal, such as in the path of a request, as an escape; JSON does so anyway."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable() and name != "exception":
            event[name] = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in value)
    return event


def _renderer(role: str, *, json: bool) -> list[structlog.typing.Processor]:
    if json:

        def ordered(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
            event.update(role=role, pid=os.getpid())
            return {name: event[name] for name in _FIRST if name in event} | dict(event)

        return [ordered, structlog.processors.JSONRenderer()]
    colours = (sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))) and not os.environ.get("NO_COLOR")
    # structlog's default formatter of exceptions would show the values of variables.
    return [
        _add_escapes,
        structlog.dev.ConsoleRenderer(
            colors=colours, timestamp_key="time", exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def configure_logs(level: str, form: Literal["auto", "json", "console"], role: str) -> None:
    """Sends structlog's and the standard library's records of this process through one formatter.

    Args:
        level: the least severe level that is written.
        form: `auto` means `console` on a terminal and `json` otherwise.
        role: the kind of process: web, interactive, batch or launcher.
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
    handler = _Output(sys.stdout)
    handler.addFilter(_Discretion())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # Only our own extra field of a record: Celery adds a task's arguments as others.
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=["exception"]), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderer(role, json=json)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    # These log each chunk at INFO, which our metrics report better.
    for name in _QUEUE_LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if json:  # Python's own hook would print lines that are not JSON
        sys.excepthook = _tell_end
    # In both forms: Python's own hooks print an error's message, which may quote a user's text.
    threading.excepthook = _tell_thread_end
    sys.unraisablehook = _tell_unraisable


def tell_uncaught(where: str, error: BaseException | None) -> None:
    """Logs an uncaught error in a line like all others."""
    kind = "error" if error is None else type(error).__qualname__
    logging.getLogger(_OURS).error("uncaught %s in %s", kind, where, exc_info=error)


def _tell_thread_end(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        tell_uncaught(f"thread {ended.thread.name if ended.thread is not None else '?'}", ended.exc_value)


def _tell_unraisable(ignored: sys.UnraisableHookArgs) -> None:
    # An error in a destructor, for example. The object's repr is not shown, as it may contain a user's text.
    about = getattr(ignored.object, "__qualname__", type(ignored.object).__qualname__)
    tell_uncaught(about, ignored.exc_value)


def _tell_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Logs an error that ends the process. Python does not call this for a SystemExit."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        # With the message: an error that ends a process comes from its start or its main thread, which sees no texts.
        logging.getLogger(_OURS).critical("ended by %s: %s", kind.__qualname__, error, exc_info=(kind, error, trace))
