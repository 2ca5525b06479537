"""Compares two applications: one handles plain requests without Flask, the other handles all requests by Flask.

Every request is sent to both, and the answers, counts, log lines and charges must be the same. Each application has its
own server and worker, so that neither knows texts that only the other has scored. Requests are raw bytes that
Gunicorn's parser reads; requests that it refuses reach neither.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from tasks.keys import digest
from tasks.logs import CURRENT_REQUEST
from tests.support.stack import Stack
from tests.support.waiting import wait_until
from tests.support.web import web_application
from webapp.front.front import Front
from webapp.front.headers import HEADERS

KEYS = 1000
ORIGIN = "https://a.example"
LIMITED = {"RATE_LIMIT": "20/h", "DAILY_QUOTA": "1000"}
HOUSES: dict[str, dict[str, str]] = {
    "open": {},
    "impatient": {"PREDICT_TIMEOUT": "0.05", "ACCESS_LOG": "true"},
    "talkative": {"ACCESS_LOG": "true", "MAX_UPLOAD_BYTES": "1500", "MAX_TEXT_CHARS": "200"},
    "by address": LIMITED | {"ACCESS_LOG": "true"},
    "by key": LIMITED
    | {
        "CORS_ORIGINS": ORIGIN,
        "API_KEYS": ",".join(
            f"k{number}:{scope}:{digest(f'{scope}-{number}')}"
            for number in range(KEYS)
            for scope in ("predict", "jobs")
        ),
    },
}
"""Variants of the settings that the front depends on. The low limits make each text count in Redis at once."""
_COUNTED = (
    "sentiment_predictions_total",
    "sentiment_cache_lookups_total",
    "sentiment_rejected_total",
    "sentiment_pending_total",
    "sentiment_wait_seconds_count",
    "sentiment_jobs_total",
    "sentiment_job_texts_total",
)
_VARYING = (
    *("processing_time_ms", "ms", "created_at", "started_at", "finished_at", "expires_at", "id", "links"),
    *("RateLimit-Reset", "Retry-After"),
)
"""Fields and headers that depend on time or on a random id."""
_ID = re.compile(r"[0-9a-f]{32}")
_SECONDS = re.compile(r"in \d+ s\b")


@dataclass
class Asked:
    """A request, and the circumstances in which it is sent."""

    raw: bytes
    """The bytes of the request."""
    house: str = "open"
    """The variant of the settings, a name in `HOUSES`."""
    address: str = "127.0.0.1"
    """The caller's address."""
    spent: str | None = None
    """The caller's name in the limits, if this caller has nothing left of them."""


@dataclass
class Outcome:
    """All effects of a request on one application."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes
    lines: list[dict[str, Any]]
    """The log lines."""
    counts: dict[str, float]
    """The changes of metrics."""
    charged: dict[str, str]
    """The texts charged to limits, by key."""
    read_bytes: int
    """How much of the body was read."""


class _Body:
    """Gunicorn's body, with a count of the bytes that were read."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self.read_bytes = 0

    def read(self, size: int | None = None) -> bytes:
        """See `io.RawIOBase.read`."""
        data: bytes = self._body.read(size)
        self.read_bytes += len(data)
        return data


class _Socket:
    """A socket to which Gunicorn can send 100 Continue."""

    def send(self, data: bytes) -> int:
        """Discards the data."""
        return len(data)


@dataclass
class Twin:
    """One of the two applications, in all variants of the settings."""

    plain: bool
    stack: Stack = field(default_factory=lambda: Stack(WEB_CONCURRENCY=1, PREDICT_TIMEOUT=30))
    apps: dict[str, Flask] = field(default_factory=dict)
    services: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Starts the server and the worker."""
        self.stack.start_server()
        self.stack.start_worker("interactive", wait=False)

    def furnish(self) -> None:
        """Makes the applications, once the worker is ready."""
        self.stack.wait_for_worker(self.stack.workers[0])
        ours = dict(self.stack.environment)
        for name, variables in HOUSES.items():
            self.stack.environment.update(variables)
            settings = self.stack.settings()
            self.apps[name] = self.services.enter_context(web_application(settings, plain=self.plain))
            self.stack.environment.clear()
            self.stack.environment.update(ours)

    def ask(self, asked: Asked) -> Outcome | None:
        """Sends a request to the application; None if Gunicorn refuses it."""
        parser = RequestParser(_CONFIG, iter([asked.raw]), (asked.address, 40_000))
        try:
            parsed = next(parser)
        except (ParseException, StopIteration):
            return None
        _, environ = wsgi.create(parsed, _Socket(), (asked.address, 40_000), ("127.0.0.1", 8000), _CONFIG)
        body = environ["wsgi.input"] = _Body(environ["wsgi.input"])
        app = self.apps[asked.house]
        if asked.spent is not None:
            self._spend(asked.spent)
        begun: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
            begun.append((status, headers))
            return _refuse_to_write

        before = _counts(app)
        with capture_logs([_name_request]) as lines:
            answer = app(environ, start_response)
            told = b"".join(answer)
        ((status, headers),) = begun
        after = _counts(app)
        return Outcome(
            status,
            headers,
            told,
            [dict(line) for line in lines if line["event"] in ("answered", "unexpected error")],
            {name: value - before.get(name, 0.0) for name, value in after.items() if value != before.get(name, 0.0)},
            self._charged(),
            body.read_bytes,
        )

    def _spend(self, caller: str) -> None:
        # The windows of the limits must not end between the requests to the two applications.
        wait_until(lambda: int(self.stack.redis.time()[0]) % 3600 < 3595, what="the hour to end")
        now = int(self.stack.redis.time()[0])
        for name, window_s in (("rate", 3600), ("day", 86_400)):
            key = f"sentiq:l:{name}:{caller}"
            self.stack.redis.hset(key, mapping={"window": now // window_s, "given": 1000})
            self.stack.redis.expire(key, 3600)

    def _charged(self) -> dict[str, str]:
        """What the limits have counted since the last call, by key."""
        found = {}
        for key in self.stack.redis.scan_iter("sentiq:l:*", count=1000):
            found[key.decode()] = (self.stack.redis.hget(key, "given") or b"").decode()
            self.stack.redis.delete(key)
        return found


_CONFIG = Config()
_CONFIG.set("forwarder_headers", "")


def _refuse_to_write(_: bytes) -> None:
    raise AssertionError("an application of ours does not write")


def _name_request(_: object, __: str, event: Any) -> Any:
    event["request_id"] = CURRENT_REQUEST.get()
    return event


def _counts(app: Flask) -> dict[str, float]:
    front = app.wsgi_app
    assert isinstance(front, Front)
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for registry in (REGISTRY, front.counts.registry)
        for family in registry.collect()
        for sample in family.samples
        if sample.name in _COUNTED or (sample.name.startswith("flask_") and sample.name.endswith(("_total", "_count")))
    }


def _check(outcome: Outcome) -> None:
    """Checks what must hold for every answer."""
    headers = dict(outcome.headers)
    assert outcome.status < "500", outcome
    assert headers["Content-Length"] == str(len(outcome.body)) or not outcome.body
    if headers.get("Content-Type", "").startswith("text/html"):  # pages have a policy of their own
        assert headers.keys() >= dict(HEADERS).keys()
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    else:
        assert {name: headers[name] for name, _ in HEADERS} == dict(HEADERS)
    assert {line["request_id"] for line in outcome.lines} <= {headers["X-Request-ID"]}
    if outcome.status[:3] in ("401", "403", "421", "429"):
        assert outcome.read_bytes == 0


def _comparable(outcome: Outcome, raw: bytes) -> dict[str, Any]:
    """The part of an outcome that must be the same for both."""

    def steady(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [(name, "?" if name in _VARYING else told(value)) for name, value in pairs]

    def told(value: Any) -> Any:
        made_up = isinstance(value, str) and value.encode() not in raw
        return _SECONDS.sub("in ? s", _ID.sub("?", value)) if made_up else value

    headers = [(name, value) for name, value in outcome.headers if name != "Content-Length"]
    body: object = None
    if outcome.body:
        is_page = dict(headers)["Content-Type"].startswith("text/html")
        body = _ID.sub("?", outcome.body.decode()) if is_page else json.loads(outcome.body, object_pairs_hook=steady)
    return {
        "status": outcome.status,
        "headers": sorted(steady(headers)),
        "body": body,
        "lines": [sorted(steady(list(line.items()))) for line in outcome.lines],
        "counts": outcome.counts,
        "charged": outcome.charged,
        "read": outcome.read_bytes,
    }


class Twins:
    """Both applications."""

    def __init__(self) -> None:
        self.twins = (Twin(plain=True), Twin(plain=False))
        self.statuses: Counter[str] = Counter()

    def start(self) -> None:
        """Starts both applications with their servers and workers."""
        for twin in self.twins:
            twin.start()
        for twin in self.twins:
            twin.furnish()

    def close(self) -> None:
        """Stops both applications."""
        for twin in self.twins:
            twin.services.close()
            twin.stack.close()

    def ask(self, asked: Asked) -> str | None:
        """Sends a request to both; returns its status, or None if Gunicorn refuses it.

        Raises:
            AssertionError: the two outcomes differ, or an answer breaks a rule that holds for all.
        """
        one, other = (twin.ask(asked) for twin in self.twins)
        if one is None or other is None:
            assert one is other
            return None
        for outcome in (one, other):
            _check(outcome)
        told, told_other = (_comparable(outcome, asked.raw) for outcome in (one, other))
        assert told == told_other, f"\n{asked}\n{told}\n{told_other}"
        status = one.status[:3]
        self.statuses[status] += 1
        return status


@contextmanager
def running_twins() -> Iterator[Twins]:
    """Runs both applications during the block."""
    twins = Twins()
    try:
        twins.start()
        yield twins
    finally:
        twins.close()
