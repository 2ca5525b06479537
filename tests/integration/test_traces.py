"""Traces: real processes send them with OTLP to a receiver that decodes them with OpenTelemetry's own definitions."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent

from tasks.errors import EX_CONFIG
from tests.support.stack import ROOT, STUB, Stack
from tests.support.waiting import wait_until

CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLERS_SPAN = "b7ad6b7169203331"


@dataclass(frozen=True)
class Span:
    """A span as it was received."""

    process: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, str]
    failed: bool
    seconds: float


class Receiver(ThreadingHTTPServer):
    """A server that receives spans at `/v1/traces`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.raw = b""

    @property
    def url(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, raw: bytes) -> None:
        """Takes one export in."""
        self.raw += raw
        for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
            (process,) = (
                pair.value.string_value for pair in resource.resource.attributes if pair.key == "service.name"
            )
            self.spans += [self._read(process, span) for scope in resource.scope_spans for span in scope.spans]

    @staticmethod
    def _read(process: str, span: Sent) -> Span:
        return Span(
            process=process,
            name=span.name,
            kind=span.kind,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in span.links),
            attributes={pair.key: pair.value.string_value or str(pair.value.int_value) for pair in span.attributes},
            failed=span.status.code == span.status.STATUS_CODE_ERROR,
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        )

    def named(self, name: str, trace: str | None = None) -> list[Span]:
        """The spans with a name, of one trace if it is given."""
        return [span for span in list(self.spans) if span.name == name and trace in (None, span.trace)]

    def one(self, name: str, trace: str | None = None) -> Span:
        """Waits for the only span with that name, and returns it."""
        wait_until(lambda: self.named(name, trace), what=f"the span {name}")
        (span,) = self.named(name, trace)
        return span


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        """Handles an export of spans."""
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        assert self.path == "/v1/traces"
        self.server.take(raw)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A running receiver."""
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def traced(receiver: Receiver) -> Iterator[Stack]:
    """A complete service that sends its spans to the receiver after a short delay."""
    # One text takes 0.05 s, so that texts which come meanwhile are sent together, a few at a time.
    stack = Stack(
        model=STUB.replace("delay_s=0.004", "delay_s=0.05"),
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_BSP_SCHEDULE_DELAY="50",
        WEB_CONCURRENCY=1,
        PREDICT_TIMEOUT=30,
    )
    try:
        yield stack.start("interactive", "batch")
    finally:
        stack.close()


def test_one_trace_from_request_to_engine(traced: Stack, receiver: Receiver) -> None:
    """The trace that a caller began goes on through request and message to the engine; each span is a child of the one
    before.
    """
    secret, given = uuid.uuid4().hex, f"caller-{uuid.uuid4().hex}"
    headers = {"traceparent": f"00-{CALLERS_TRACE}-{CALLERS_SPAN}-01", "X-Request-ID": given}
    assert traced.http.post("/predict", json={"text": f"good {secret}"}, headers=headers).status_code == 200
    request, wait, send, chunk, engine = (
        receiver.one(name, CALLERS_TRACE) for name in ("POST /predict", "wait", "send", "chunk", "engine")
    )
    assert [span.parent for span in (request, wait, send, chunk, engine)] == [
        CALLERS_SPAN,
        request.id,
        wait.id,
        send.id,
        chunk.id,
    ]
    assert {span.process for span in (request, wait, send)} == {"sentiq-web"}
    assert {span.process for span in (chunk, engine)} == {"sentiq-interactive"}
    assert [span.kind for span in (request, wait, send, chunk, engine)] == [
        Sent.SPAN_KIND_SERVER,
        Sent.SPAN_KIND_INTERNAL,
        Sent.SPAN_KIND_PRODUCER,
        Sent.SPAN_KIND_CONSUMER,
        Sent.SPAN_KIND_INTERNAL,
    ]
    assert request.attributes["http.route"] == "/predict"
    assert request.attributes["http.response.status_code"] == "200"
    assert request.attributes["sentiq.request_id"] == given
    assert engine.attributes["sentiq.texts"] == "1"
    assert 0.05 <= engine.seconds <= chunk.seconds <= request.seconds
    # The text is cached now: no message is sent, so the only span is the request's own.
    again = uuid.uuid4().hex
    assert traced.http.post(
        "/predict", json={"text": f"good {secret}"}, headers={"traceparent": f"00-{again}-{CALLERS_SPAN}-01"}
    ).json()["cached"]
    receiver.one("POST /predict", again)
    assert {span.name for span in receiver.spans if span.trace == again} == {"POST /predict"}
    assert secret.encode() not in receiver.raw


def test_chunk_of_several_requests(traced: Stack, receiver: Receiver) -> None:
    """A chunk belongs to the trace of one of its requests, and has one link to each of the others."""
    traces = {uuid.uuid4().hex: f"text {uuid.uuid4().hex}" for _ in range(16)}

    def ask(trace: str) -> int:
        return traced.http.post(
            "/predict", json={"text": traces[trace]}, headers={"traceparent": f"00-{trace}-{CALLERS_SPAN}-01"}
        ).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(ask, traces)) == {200}
    waits = {trace: receiver.one("wait", trace).id for trace in traces}

    def chunks() -> list[Span]:
        return [span for span in receiver.named("chunk") if span.trace in traces]

    def reached() -> set[str]:
        return {trace for span in chunks() for trace in (span.trace, *(link[0] for link in span.links))}

    wait_until(lambda: reached() == set(traces), what="a chunk with each of the requests")
    assert any(span.links for span in chunks())
    for span in chunks():
        sent = receiver.one("send", span.trace)
        assert (span.parent, sent.parent) == (sent.id, waits[span.trace])
        assert {link[1] for link in span.links} == {waits[trace] for trace, _ in span.links}
        assert sent.links == span.links
    assert sum(1 + len(span.links) for span in chunks()) == len(traces)


def test_failure_is_marked_without_its_words(traced: Stack, receiver: Receiver) -> None:
    """A text that the engine cannot score marks the spans of the engine and of the wait; the error's message is not
    sent.
    """
    trace = uuid.uuid4().hex
    answer = traced.http.post(
        "/predict", json={"text": f"poison {trace}"}, headers={"traceparent": f"00-{trace}-{CALLERS_SPAN}-01"}
    )
    assert answer.status_code == 422
    assert receiver.one("engine", trace).failed
    assert receiver.one("wait", trace).failed
    assert not receiver.one("POST /predict", trace).failed  # it is the text's fault, not the server's
    assert b"told to fail on" not in receiver.raw
    assert b"poison" not in receiver.raw


def test_jobs_chunks_are_the_requests(traced: Stack, receiver: Receiver) -> None:
    """All chunks of a job are children of the request that created it, those that the worker sent too."""
    trace = uuid.uuid4().hex
    texts = [f"text {uuid.uuid4().hex}" for _ in range(120)]
    answer = traced.http.post(
        "/batch_predict", json={"texts": texts}, headers={"traceparent": f"00-{trace}-{CALLERS_SPAN}-01"}
    )
    job = traced.ended(answer.json())
    assert job["status"] == "succeeded"
    request = receiver.one("POST /batch_predict", trace)
    wait_until(
        lambda: sum(int(span.attributes["sentiq.texts"]) for span in receiver.named("engine", trace)) == 120,
        what="all texts' spans",
    )
    parents = {span.parent for span in receiver.named("engine", trace)}
    wait_until(lambda: parents <= {span.id for span in receiver.named("chunk", trace)}, what="their chunks' spans")
    chunks = receiver.named("chunk", trace)
    assert len(chunks) > 4  # more than the web sends itself
    assert {(span.parent, span.process, span.attributes["sentiq.job_id"]) for span in chunks} == {
        (request.id, "sentiq-batch", job["id"])
    }
    assert parents == {span.id for span in chunks}


@pytest.mark.parametrize(
    "given", ["", "nonsense", f"00-{'0' * 32}-{CALLERS_SPAN}-01", f"ff-{CALLERS_TRACE}-{CALLERS_SPAN}-01"]
)
def test_invalid_traceparent(traced: Stack, receiver: Receiver, given: str) -> None:
    """With an invalid traceparent a new trace begins, and nothing fails."""
    mark = uuid.uuid4().hex
    assert traced.http.get("/model", headers={"traceparent": given, "X-Request-ID": mark}).status_code == 200
    wait_until(lambda: [s for s in receiver.spans if s.attributes.get("sentiq.request_id") == mark], what="its span")
    (span,) = [span for span in receiver.spans if span.attributes.get("sentiq.request_id") == mark]
    assert (span.name, span.parent) == ("GET /model", "")
    assert span.trace not in (CALLERS_TRACE, "0" * 32)


def test_probes_have_no_span(traced: Stack, receiver: Receiver) -> None:
    """Health checks and scrapes, which would be most of what is stored, have no spans; an unknown path is not used as a
    span's name.
    """
    for path in ("/health/live", "/metrics", "/nowhere"):
        traced.http.get(path)
    wait_until(lambda: receiver.named("GET"), what="the span of the unknown path")
    assert not [
        span for span in receiver.spans if "health" in span.name or "metrics" in span.name or "nowhere" in span.name
    ]


def test_log_lines_name_the_trace(traced: Stack) -> None:
    """Log lines for a request, in the web and in the worker, have the id of its trace."""
    trace = uuid.uuid4().hex
    traced.http.post(
        "/predict", json={"text": f"poison {trace[::-1]}"}, headers={"traceparent": f"00-{trace}-{CALLERS_SPAN}-01"}
    )
    assert traced.web is not None
    for process in (traced.web, traced.workers[0]):
        wait_until(lambda process=process: f'"trace_id": "{trace}"' in process.log, what="the trace in a log line")  # type: ignore[misc]


def test_receiver_away(make_stack: Callable[..., Stack]) -> None:
    """If the receiver is away, spans are lost, but never an answer."""
    stack = make_stack(
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_TIMEOUT="1",
        OTEL_BSP_SCHEDULE_DELAY="10",
        WEB_CONCURRENCY=1,
    ).start("interactive")
    assert stack.web is not None
    web = stack.web
    assert stack.predict("good").status_code == 200
    wait_until(lambda: '"logger": "opentelemetry' in web.log, what="the log to say that spans were not taken")
    assert stack.predict("better").status_code == 200
    web.terminate()


_LOADED = """
import sys
sys.argv = ["worker", "interactive"]
{0}
# Where OpenTelemetry is installed, redis-py imports some of its metrics by itself.
ours = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf")
found = sorted(name for name in sys.modules if name.startswith(ours))
assert not found, found
"""


@pytest.mark.parametrize(
    "modules",
    [
        "import webapp.wsgi",
        (
            "import tasks.worker, tasks.work.scoring, tasks.queue.app, tasks.tracing, tasks.work.callbacks,"
            " tasks.work.upkeep"
        ),
    ],
)
def test_without_an_endpoint_nothing_is_loaded(server: Stack, modules: str) -> None:
    """Without OTEL_EXPORTER_OTLP_ENDPOINT no process imports OpenTelemetry's tracing."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED.format(modules)],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_running_service_has_not_loaded_it(service: Stack) -> None:
    """A web process and workers that run without an endpoint have none of OpenTelemetry's files open or mapped, also
    after requests.
    """
    assert service.predict(f"good {uuid.uuid4().hex}").status_code == 200
    assert service.web is not None
    for process in (service.web, *service.workers):
        with open(f"/proc/{process.pid}/maps") as maps:
            assert "google/_upb" not in maps.read()


_ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry.exporter"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "tasks.worker", "interactive"),
        ("-m", "gunicorn", "-c", "python:webapp.server.gunicorn_conf", "webapp.wsgi:app"),
        ("-m", "webapp.client.cli", "serve"),
    ],
    ids=["worker", "web", "launcher"],
)
def test_extra_not_installed(make_stack: Callable[..., Stack], arguments: tuple[str, ...]) -> None:
    """With an endpoint but without the packages, every process ends as for a bad setting, with a sentence that says
    what to install.
    """
    stack = make_stack(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    without = stack.folder / "without"
    without.mkdir()
    (without / "sitecustomize.py").write_text(_ABSENT)
    stack.environment["PYTHONPATH"] = f"{without}{os.pathsep}{ROOT}"
    process = stack.start_process("refused", *arguments)
    wait_until(lambda: not process.running, what="it to end")
    assert process.status == EX_CONFIG
    assert "OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed" in process.log
    assert "Traceback" not in process.log
