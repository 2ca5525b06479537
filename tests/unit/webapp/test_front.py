"""The front, without a Redis server: what it does for every request, whichever part answers it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from structlog.testing import capture_logs
from werkzeug.test import create_environ

from tasks.errors import (
    LimitReached,
    QueueFull,
    QuotaExceeded,
    RateLimited,
    StorageQuotaExceeded,
    TooManyJobs,
    TooManyViews,
)
from tasks.keys import digest
from tasks.logs import CURRENT_REQUEST
from tasks.metrics import REQUEST_BUCKETS_S
from tasks.settings import Settings
from tasks.store.connections import connect
from tasks.store.limits import Standing
from tasks.store.sessions import Sessions
from tests.support.web import web_application
from tests.unit.test_promises import every_error
from webapp.front.access import AccessLog
from webapp.front.admission import Admission
from webapp.front.counts import OTHER, Counts
from webapp.front.front import Front, StartResponse, Wsgi
from webapp.front.headers import AnswerHeaders
from webapp.front.routes import NOWHERE, Route, Routes
from webapp.front.signed_in import SignedIn
from webapp.front.visit import Caller, visit

KEY = "the-key-of-ann"
KEYS = f"ann:jobs:{digest(KEY)}"
REDIS = "unix:///nowhere/valkey.sock"
PREDICT = json.dumps({"text": "good"}).encode()
Environ = dict[str, Any]
MakeApp = Callable[..., Flask]


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def readable(self) -> bool:
        """Says that it can be read."""
        return True

    def readinto(self, _: object) -> int:
        """Fails the test."""
        raise AssertionError("the body was read")


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    """Makes the application with any settings, on a server that is not there."""
    with ExitStack() as made:

        def make(*, plain: bool, **settings: Any) -> Flask:
            return made.enter_context(web_application(Settings(redis_url=REDIS, **settings), plain=plain))

        yield make


def front_of(app: Wsgi) -> tuple[Front, CollectorRegistry]:
    """A front with one address, `/here/...`, around an application of the test; and the front's counts."""
    flask, counts, settings = Flask("test"), Counts(), Settings(redis_url=REDIS)
    flask.add_url_rule("/here/<name>", "here", methods=["GET", "POST"])
    front = Front(
        app,
        routes=Routes(flask.url_map),
        admission=Admission(settings, {}, None, SignedIn({}, Sessions(connect(REDIS, timeout_s=1), ttl_s=60))),
        headers=AnswerHeaders(settings.cors_origins),
        counts=counts,
        access_log=AccessLog(everything=True),
        traces=None,
    )
    return front, counts.registry


def well(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """An application that always answers."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"well"]


def ask(app: Wsgi, method: str, path: str, **environ: Any) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer."""
    begun: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        begun[:] = [int(status[:3]), dict(headers)]

    body = b"".join(app(create_environ(path, method=method) | environ, start_response))
    return begun[0], begun[1], body


# Admission


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"HTTP_X_API_KEY": "guess"}, 401),
        ({"HTTP_X_API_KEY": KEY, "HTTP_SEC_FETCH_SITE": "cross-site"}, 403),
    ],
)
def test_refused_before_the_body(
    path: str, headers: dict[str, str], status: int, plain: bool, make_app: MakeApp
) -> None:
    """Whoever may not ask hears so before a byte of the body is read."""
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(PREDICT)), "wsgi.input": Unread()}
    assert ask(make_app(plain=plain, api_keys=KEYS), "POST", path, **body, **headers)[0] == status


@pytest.mark.parametrize("plain", [True, False])
def test_scope_is_asked_for_before_the_body(plain: bool, make_app: MakeApp) -> None:
    """A key that is not good for this is refused before a byte of the body is read."""
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(PREDICT)), "wsgi.input": Unread()}
    status, _, answer = ask(make_app(plain=plain, api_keys=KEYS), "POST", "/predict", **body, HTTP_X_API_KEY=KEY)
    assert (status, json.loads(answer)["code"]) == (403, "forbidden")


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_json_of_another_site(site: str, plain: bool, make_app: MakeApp) -> None:
    """A page of another site may not send JSON either, in whatever form it comes."""
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(PREDICT)), "wsgi.input": io.BytesIO(PREDICT)}
    status, _, answer = ask(make_app(plain=plain), "POST", "/predict", **body, HTTP_SEC_FETCH_SITE=site)
    assert (status, json.loads(answer)["code"]) == (403, "forbidden")


@pytest.mark.parametrize("plain", [True, False])
def test_log_lines_name_the_caller(plain: bool, make_app: MakeApp) -> None:
    """Whoever makes the answer, the line in the log says whose request it was."""
    app = make_app(plain=plain, api_keys=KEYS.replace("jobs", "predict"))
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(PREDICT)), "wsgi.input": io.BytesIO(PREDICT)}
    with capture_logs() as lines:
        assert ask(app, "POST", "/predict", **body, HTTP_X_API_KEY=KEY)[0] == 503  # because there is no Redis
    assert [(line["status"], line["caller"]) for line in lines if line["event"] == "answered"] == [(503, "ann")]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [("GET", "/nowhere", "not_found"), ("PUT", "/predict", "method_not_allowed"), ("GET", "/jobs", "unauthorized")],
)
def test_log_lines_name_the_error(method: str, path: str, code: str, make_app: MakeApp) -> None:
    """The line of a refused or failed request has the code of its error; that of any other has none."""
    app = make_app(plain=True, api_keys=KEYS, access_log=True)
    with capture_logs() as lines:
        ask(app, method, path)
        ask(app, "GET", "/openapi.json")
    assert [line.get("code") for line in lines if line["event"] == "answered"] == [code, None]


def test_the_headers_are_of_the_limit_that_refused() -> None:
    """A refusal for a limit has RateLimit headers of that limit, not of the other one, which was counted before."""

    def refuses(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        visit().caller = Caller(None, "ann", None, standing=Standing(20, 19, 33))
        raise QuotaExceeded(1, left=0, limit=100, window_s=86_400, retry_after_s=4000)

    front, _ = front_of(refuses)
    status, headers, _ = ask(front, "GET", "/here/x")
    told = {name: headers[name] for name in ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")}
    assert (status, headers["Retry-After"]) == (429, "4000")
    assert told == {"RateLimit-Limit": "100", "RateLimit-Remaining": "0", "RateLimit-Reset": "4000"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RateLimited(5, left=2, limit=20, window_s=60, retry_after_s=9), ("20", "2", "9")),
        (RateLimited(5, left=-3, limit=20, window_s=60, retry_after_s=9), ("20", "0", "9")),
        (QueueFull(16, 7), ("16", "0", "7")),
        (TooManyJobs(3), ("3", "0", "10")),
        (StorageQuotaExceeded.by_jobs(900, 1000, 60), ("1000", "100", "60")),
        (StorageQuotaExceeded.by_streams(1200, 1000), ("1000", "0", "3600")),
        (TooManyViews(5, 12), ("5", "0", "12")),
    ],
)
def test_every_429_tells_its_limit(error: LimitReached, told: tuple[str, str, str]) -> None:
    """Each refusal by a limit has its RateLimit headers and says the limit, whatever other limit was told before; the
    next answer to the same caller does not have them.
    """
    refuse = [error]

    def refuses(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if refuse:
            raise refuse.pop()
        return well(environ, start_response)

    front, _ = front_of(refuses)
    status, headers, answer = ask(front, "GET", "/here/x")
    assert status == 429
    assert tuple(headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset")) == told
    assert headers["Retry-After"] == told[2]
    assert told[0] in json.loads(answer)["detail"]
    status, headers, _ = ask(front, "GET", "/here/x")
    assert (status, [name for name in headers if name.startswith("RateLimit")]) == (200, [])


def test_every_429_is_tried() -> None:
    """The test above has every kind of refusal by a limit; `QuotaExceeded` is in the one before it."""
    (mark,) = (one for one in test_every_429_tells_its_limit.pytestmark if one.name == "parametrize")  # type: ignore[attr-defined]
    assert {type(error) for error, _ in mark.args[1]} | {QuotaExceeded} == {
        kind for kind in every_error() if issubclass(kind, LimitReached) and kind is not LimitReached
    }


# The body


class Lost(Unread):
    """A body whose connection is lost, perhaps within a chunk, with the error that Gunicorn raises."""

    def readinto(self, _: object) -> int:
        """Raises."""
        raise OSError("no more data")


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("how", ["ends", "lost", "lost in a chunk"])
def test_incomplete_body(plain: bool, how: str, make_app: MakeApp) -> None:
    """A body whose connection ends before it does is 400, however whole its JSON looks."""
    body: Environ = {"CONTENT_TYPE": "application/json", "wsgi.input_terminated": True}
    if how == "lost in a chunk":
        body |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": Lost()}
    else:
        body["CONTENT_LENGTH"] = str(len(PREDICT) + 1)
        body["wsgi.input"] = Lost() if how == "lost" else io.BytesIO(PREDICT)
    status, _, answer = ask(make_app(plain=plain), "POST", "/predict", **body)
    assert (status, json.loads(answer)["code"]) == (400, "incomplete_body")


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(("max_text_chars", "limit_bytes"), [(100, 2**20), (100_000, 12 * 100_000 + 65_536)])
def test_body_is_as_large_as_a_text_can_be(
    plain: bool, max_text_chars: int, limit_bytes: int, make_app: MakeApp
) -> None:
    """A body of /predict has a megabyte or what the longest text needs; a longer one is refused unread, and if it comes
    in chunks as soon as it is known to be longer.
    """
    app = make_app(plain=plain, max_text_chars=max_text_chars)
    body: Environ = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(limit_bytes + 1)}
    status, _, answer = ask(app, "POST", "/predict", **body, **{"wsgi.input": Unread()})
    assert (status, json.loads(answer)["code"]) == (413, "request_entity_too_large")
    assert str(limit_bytes) in json.loads(answer)["detail"]
    sent = io.BytesIO(b" " * 10 * limit_bytes)
    chunks: Environ = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "wsgi.input": sent}
    assert ask(app, "POST", "/predict", CONTENT_TYPE="application/json", **chunks)[0] == 413
    assert sent.tell() < 2 * limit_bytes
    text = b'{"text": "' + b"x" * (limit_bytes - 12) + b'"}'
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(text)), "wsgi.input": io.BytesIO(text)}
    status, _, answer = ask(app, "POST", "/predict", **body)
    assert (status, json.loads(answer)["code"]) == (422, "text_too_long")


@pytest.mark.parametrize("plain", [True, False])
def test_a_text_may_be_as_long_as_it_may(plain: bool, make_app: MakeApp) -> None:
    """The longest text is not too large in any spelling of JSON, and a body never larger than MAX_UPLOAD_BYTES."""
    for text in ("\\ud83d\\ude00" * 500, "\\u00e9" * 500, "\\n" * 499 + "a"):
        raw = b'{"text": "' + text.encode() * 200 + b'"}'
        body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(raw)), "wsgi.input": io.BytesIO(raw)}
        assert ask(make_app(plain=plain), "POST", "/predict", **body)[0] == 503  # for want of Redis
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": "1001", "wsgi.input": Unread()}
    assert ask(make_app(plain=plain, max_upload_bytes=1000), "POST", "/predict", **body)[0] == 413


# Errors


def test_what_the_application_raises() -> None:
    """An error that the application raises is answered as errors within Flask are, with the headers of every answer."""

    def full(_: Environ, __: StartResponse) -> Iterable[bytes]:
        raise QueueFull(20, 7)

    front, counts = front_of(full)
    with capture_logs() as lines:
        status, headers, answer = ask(front, "POST", "/here/ann", HTTP_X_REQUEST_ID="one")
    problem = json.loads(answer)
    assert (status, problem["code"], problem["request_id"]) == (429, "queue_full", "one")
    assert (headers["Retry-After"], headers["X-Request-ID"], headers["Cache-Control"]) == ("7", "one", "no-store")
    assert [(line["status"], line["path"]) for line in lines] == [(429, "/here/ann")]
    assert counts.get_sample_value("flask_http_request_total", {"method": "POST", "status": "429"}) == 1


def test_an_error_in_the_middle_of_an_answer() -> None:
    """If an error comes after the answer has begun, the answer stays as it is; the error is passed to the server, and
    the request counted once.
    """

    def breaks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        well(environ, start_response)
        raise QueueFull(20, 7)

    front, counts = front_of(breaks)
    with pytest.raises(QueueFull):
        ask(front, "GET", "/here/ann")
    assert counts.get_sample_value("flask_http_request_total", {"method": "GET", "status": "200"}) == 1
    assert counts.get_sample_value("flask_http_request_total", {"method": "GET", "status": "429"}) is None


# The visit


def test_the_present_request() -> None:
    """Code that serves a request finds it with `visit()`; afterwards there is none."""
    seen: list[Any] = []

    def looks(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        seen.extend([visit().request_id, visit().route, CURRENT_REQUEST.get()])
        return well(environ, start_response)

    front, _ = front_of(looks)
    ask(front, "GET", "/here/ann", HTTP_X_REQUEST_ID="one")
    assert seen == ["one", Route("here", "/here/<name>"), "one"]
    assert (visit().request_id, visit().route, CURRENT_REQUEST.get()) == ("", NOWHERE, "")


# Routes


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/predict", "predictions.predict"),
        ("POST", "/predict/", "predictions.predict"),
        ("OPTIONS", "/predict", "predictions.predict"),
        ("GET", "/predict", None),
        ("POST", "//predict", None),
        ("HEAD", "/health", "health.health"),
        ("GET", "/jobs/5", "jobs.job"),
        ("DELETE", "/jobs/5", "jobs.cancel"),
        ("GET", "/jobs", "jobs.newest"),
        ("GET", "/nowhere", None),
    ],
)
def test_routes(method: str, path: str, endpoint: str | None, make_app: MakeApp) -> None:
    """The front knows the endpoint that Flask will find."""
    app = make_app(plain=True)
    with app.test_request_context(path, method=method) as context:
        assert context.request.endpoint == endpoint
        assert Routes(app.url_map).find(context.request.environ).endpoint == endpoint


# Counts


def test_counts_are_the_exporters() -> None:
    """The front's metrics have the names, labels, help texts and buckets of prometheus-flask-exporter."""

    front, counts = front_of(well)
    ask(front, "GET", "/here/ann")
    theirs, flask = CollectorRegistry(), Flask("test")
    flask.add_url_rule("/here/<name>", "here", lambda name: "well")
    PrometheusMetrics(flask, path=None, group_by="url_rule", buckets=REQUEST_BUCKETS_S, registry=theirs)
    flask.test_client().get("/here/ann")

    def names(registry: CollectorRegistry) -> set[tuple[str, str, tuple[tuple[str, str], ...]]]:
        return {
            (sample.name, family.documentation, tuple(sorted(sample.labels.items())))
            for family in registry.collect()
            for sample in family.samples
        }

    assert names(counts) == names(theirs)
    assert (
        "flask_http_request_total",
        "Total number of HTTP requests",
        (("method", "GET"), ("status", "200")),
    ) in names(counts)


def test_made_up_methods_are_one() -> None:
    """However many methods a caller invents, they share one series, and so do unknown addresses."""
    front, counts = front_of(well)
    for number in range(50):
        ask(front, f"METHOD{number}", f"/nowhere/{number}")
    (family,) = [family for family in counts.collect() if family.name == "flask_http_request"]
    totals = [sample for sample in family.samples if sample.name == "flask_http_request_total"]
    assert [(sample.labels["method"], sample.value) for sample in totals] == [(OTHER, 50)]
    place = {"method": OTHER, "url_rule": "None", "status": "200"}
    assert counts.get_sample_value("flask_http_request_duration_seconds_count", place) == 50


def test_scrapes_are_not_counted(make_app: MakeApp) -> None:
    """A metrics page does not count itself; one that was refused is counted."""
    client = make_app(plain=True).test_client()
    for _ in range(2):
        page = client.get("/metrics").text
    assert "flask_http_request_total{" not in page
    client = make_app(plain=True, api_keys=f"{KEYS} ops:admin:{digest('ops')}").test_client()
    assert client.get("/metrics").status_code == 401
    page = client.get("/metrics", headers={"X-API-Key": "ops"}).text
    assert 'flask_http_request_total{method="GET",status="401"} 1.0' in page
