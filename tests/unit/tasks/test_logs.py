"""Log lines: one form for all records, and no user's text in them."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import pytest
import redis
import structlog
from kombu.exceptions import DecodeError

from tasks.discretion import frames, told
from tasks.errors import TextTooLong
from tasks.logs import CURRENT_REQUEST, configure_logs
from tests.support.stack import ROOT

SECRET = "a secret of mine"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Restores the configuration of logging after each test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    levels = {name: logging.getLogger(name).level for name in ("celery", "kombu", "amqp")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def lines() -> Lines:
    """Configures the logs of a web process as JSON; returns a function for the lines so far."""
    with redirect_stdout(StringIO()) as output:
        configure_logs("info", "json", "web")
    return lambda: [json.loads(line) for line in output.getvalue().splitlines()]


def test_fields_of_a_line(lines: Lines) -> None:
    """A line is a JSON object that begins with time (UTC, ISO 8601), level, role, process, logger and event."""
    structlog.get_logger("webapp.front.access").info("answered", status=404)
    (line,) = lines()
    assert list(line) == ["time", "level", "role", "pid", "logger", "event", "status"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert (line["level"], line["role"], line["logger"], line["event"], line["status"]) == (
        "info",
        "web",
        "webapp.front.access",
        "answered",
        404,
    )


@pytest.mark.parametrize(
    "name", ["gunicorn.error", "celery.worker", "kombu.connection", "redis", "opentelemetry.sdk", "tasks.work.leases"]
)
def test_records_of_libraries(lines: Lines, name: str) -> None:
    """Records of the standard library's loggers have the same form, with their arguments filled in."""
    logging.getLogger(name).warning("%s of %d", "one", 2)
    (line,) = lines()
    assert (line["level"], line["logger"], line["event"], line["role"]) == ("warning", name, "one of 2", "web")


def test_bound_ids(lines: Lines) -> None:
    """The request's id and other bound values are in each line of any logger, until the request has ended."""
    token = CURRENT_REQUEST.set("r1")
    with structlog.contextvars.bound_contextvars(job_id="j1"):
        logging.getLogger("celery").error("theirs")
    CURRENT_REQUEST.reset(token)
    logging.getLogger("tasks").error("later")
    during, after = lines()
    assert (during["request_id"], during["job_id"]) == ("r1", "j1")
    assert "request_id" not in after
    assert "job_id" not in after


def test_level(lines: Lines) -> None:
    """Lines below LOG_LEVEL are not written; libraries that log each message are limited to warnings."""
    logging.getLogger("tasks").debug("no")
    structlog.get_logger("tasks").debug("no")
    logging.getLogger("celery.worker").info("no")
    logging.getLogger("tasks").info("yes")
    assert [line["event"] for line in lines()] == ["yes"]


def test_line_breaks_stay_inside(lines: Lines) -> None:
    """An event with line breaks is still one line."""
    structlog.get_logger("webapp").info("answered", path="/x\n{}\r\u2028 y")
    (line,) = lines()
    assert line["path"] == "/x\n{}\r\u2028 y"


def test_an_error_without_its_words(lines: Lines) -> None:
    """A line has the types and frames of an error and its causes, but no message that may quote a text, nor values."""
    text = SECRET
    try:
        try:
            int(text)
        except ValueError as error:
            raise RuntimeError(f"cannot score {text}") from error
    except RuntimeError:
        structlog.get_logger("webapp.front.errors").exception("unexpected error")
        logging.getLogger("gunicorn.error").exception("Error handling request")
    ours, theirs = lines()
    for line in (ours, theirs):
        assert SECRET not in json.dumps(line)
        assert line["level"] == "error"
        assert (
            line["exception"].index("ValueError")
            < line["exception"].index("which led to")
            < line["exception"].index("RuntimeError")
        )
        assert "test_logs.py" in line["exception"]
    assert ours["exception"] == theirs["exception"]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (
            FileNotFoundError(2, "No such file", "/run/valkey.sock"),
            "FileNotFoundError: [Errno 2] No such file: '/run/valkey.sock'",
        ),
        (ModuleNotFoundError("No module named 'torch'"), "ModuleNotFoundError: No module named 'torch'"),
        (redis.ConnectionError("Error 111 connecting"), "ConnectionError: Error 111 connecting"),
        (redis.BusyLoadingError("Redis is loading"), "BusyLoadingError: Redis is loading"),
        (TextTooLong(5, 4), f"TextTooLong: {TextTooLong(5, 4)}"),
        (redis.ResponseError(f"unknown command, with args beginning with: {SECRET}"), "ResponseError"),
        (KeyError(SECRET), "KeyError"),
        (ValueError(SECRET), "ValueError"),
        (UnicodeEncodeError("utf-8", SECRET, 0, 1, SECRET), "UnicodeEncodeError"),
        (DecodeError(SECRET), "DecodeError"),
        (RuntimeError(SECRET), "RuntimeError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_messages_that_are_told(error: Exception, shown: str) -> None:
    """Messages of errors that name addresses, files and types are logged; messages that may quote a value are not."""
    assert told(error) == shown
    assert frames(error) == shown


def test_messages_of_the_queue_are_not_quoted(lines: Lines) -> None:
    """Of messages and arguments that Celery and kombu would quote, only lengths and types are logged."""
    body = json.dumps(
        [[{"tag": "x", "texts": [SECRET]}], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    )
    log = logging.getLogger("celery.worker.consumer.consumer")
    log.error(
        "Can't decode message body: %r [type:%r]\n\nbody: %s",
        ValueError(SECRET),
        "application/x-python-serialize",
        body,
    )
    failed = {
        "name": "score",
        "id": "1",
        "exc": repr(ValueError(SECRET)),
        "args": SECRET,
        "kwargs": "{}",
        "description": "failed",
    }
    logging.getLogger("celery.app.trace").error(
        "Task %(name)s[%(id)s] %(description)s: %(exc)s", failed, extra={"data": failed}
    )
    first, second = lines()
    assert SECRET not in json.dumps([first, second])
    assert "application/x-python-serialize" in first["event"]
    assert f"({len(body)} characters, not shown)" in first["event"]
    assert second["event"] == "Task score[1] failed: (not shown)"


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a process that logs into a pipe."""
    script = f"from tasks.logs import configure_logs\nimport logging, structlog\n{textwrap.dedent(code)}"
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"} | variables
    return subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)


def test_auto_is_json_in_a_pipe() -> None:
    """Without a terminal, LOG_FORMAT=auto writes JSON."""
    done = run('configure_logs("info", "auto", "batch"); logging.getLogger("a").info("yes")')
    assert json.loads(done.stdout)["role"] == "batch"


def test_auto_is_for_people_on_a_terminal() -> None:
    """On a terminal, LOG_FORMAT=auto writes coloured lines instead of JSON."""
    script = 'import pty, sys; pty.spawn([sys.executable, "-c", sys.argv[1]])'
    code = (
        "from tasks.logs import configure_logs; import logging;"
        ' configure_logs("info", "auto", "web"); logging.getLogger("a").info("yes")'
    )
    done = subprocess.run(
        [sys.executable, "-c", script, code],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "\033[" in done.stdout
    assert "yes" in done.stdout
    assert "{" not in done.stdout


def test_console() -> None:
    """Lines for people have the time of day, level, event and logger, aligned; in a pipe they have no colours."""
    done = run(
        f"""
        configure_logs("info", "console", "web")
        log = structlog.get_logger("webapp.front.access")
        log.info("answered", status=200)
        log.warning("a longer event", path="/x\\nforged")
        try:
            int({SECRET!r})
        except ValueError:
            log.exception("failed")
        """
    )
    first, second, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d \[info +\] answered +\[webapp\.front\.access\] status=200", first)
    assert first.index("[webapp") == second.index("[webapp")
    assert r"/x\nforged" in second
    assert rest[-1] == "ValueError"
    assert "\033" not in done.stdout


def test_colours_can_be_asked_for() -> None:
    """FORCE_COLOR makes colours in a pipe, such as the launcher's; NO_COLOR takes precedence."""
    code = 'configure_logs("info", "console", "web"); logging.getLogger("a").info("yes")'
    assert "\033[" in run(code, FORCE_COLOR="1").stdout
    assert "\033[" not in run(code, FORCE_COLOR="1", NO_COLOR="1").stdout


def test_a_record_that_cannot_be_written_is_a_line() -> None:
    """For a record whose arguments do not fit its message, a line names its logger, and nothing else is written."""
    done = run(f'configure_logs("info", "json", "web"); logging.getLogger("redis").warning("%d", {SECRET!r})')
    line = json.loads(done.stdout)
    assert (line["level"], line["event"]) == ("error", "uncaught TypeError in a record of redis")
    assert SECRET not in done.stdout
    assert done.stderr == ""


def test_the_end_of_a_process_is_a_line() -> None:
    """An error that ends the process is a line like all others, with its message; the exit status is Python's."""
    done = run('configure_logs("info", "json", "interactive"); raise RuntimeError("the model cannot be read")')
    line = json.loads(done.stdout)
    assert (line["level"], line["event"]) == ("critical", "ended by RuntimeError: the model cannot be read")
    assert "Traceback" in line["exception"]
    assert (done.stderr, done.returncode) == ("", 1)


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_end_of_a_thread_is_a_line(form: str) -> None:
    """An error that ends a thread, or that a destructor raises, is logged in a line like all others, in every form.

    The line has its kind and its frames, but not its message, and nothing bypasses the log.
    """
    done = run(
        f"""
        import threading
        class Leaky:
            def __repr__(self):
                return {SECRET!r}
            def __del__(self):
                raise RuntimeError({SECRET!r})
        configure_logs("info", {form!r}, "batch")
        thread = threading.Thread(target=int, args=({SECRET!r},), name="replies")
        thread.start()
        thread.join()
        Leaky()
        threading.Thread(target=exit).start()
        """
    )
    assert SECRET not in done.stdout + done.stderr
    assert (done.stderr, done.returncode) == ("", 0)
    assert "uncaught ValueError in thread replies" in done.stdout
    assert "uncaught RuntimeError in Leaky.__del__" in done.stdout
    assert done.stdout.count("uncaught") == 2
    if form == "json":
        assert all(line["exception"].startswith("Traceback") for line in map(json.loads, done.stdout.splitlines()))


def test_warnings_are_lines(lines: Lines) -> None:
    """Python's warnings are log lines, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines()
    assert line["logger"] == "py.warnings"
    assert "old" in line["event"]


def test_nothing_steers_a_terminal() -> None:
    """For people, characters that a terminal would obey, or that would begin a line, are shown as escapes: callers
    choose paths.
    """
    with redirect_stdout(StringIO()) as output:
        configure_logs("info", "console", "web")
        structlog.get_logger("webapp.front.access").info("answered", path="/\x1b[2J\x9b1m\u202ex\u2028\ny\u00e9")
        logging.getLogger("other").info("%s", "\x1b[31mred\r")
    first, second = output.getvalue().splitlines()
    assert first.isprintable()
    assert "/\\x1b[2J\\x9b1m\\u202ex\\u2028\\ny\u00e9" in first
    assert second.isprintable()
    assert "\\x1b[31mred\\r" in second
