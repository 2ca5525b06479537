"""The client against a server that gives the answers that a test sets: what is tried again, what is raised, what is
sent.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tasks.errors import StorageQuotaExceeded, TooManyJobs
from tests.support.awaited import Loop, awaited
from tests.support.stack import free_port
from webapp.client import JobNotFound, Sentiq, SentiqError, Unavailable, WaitTimeout, whole_file
from webapp.client.batch import Screen, in_commands
from webapp.client.bodies import gzipped_ndjson, json_array, split_lines
from webapp.client.cli import app as cli
from webapp.client.connections import one_by_one

ROOT = Path(__file__).resolve().parents[3]
T = TypeVar("T")
SCORES = {"NEGATIVE": 0.1, "NEUTRAL": 0.2, "POSITIVE": 0.7}
ANSWER = {"label": "POSITIVE", "confidence": 0.7, "scores": SCORES, "truncated": False, "cached": False, "model": "m"}
PREDICTION = ANSWER | {"text": "x", "processing_time_ms": 1.5}
JOB: dict[str, Any] = {
    "id": "a" * 32,
    "status": "running",
    "receiving": False,
    "total": 4,
    "done": 1,
    "failed": 0,
    "cached": 0,
    "duplicates": 0,
    "labels": {},
    "model": None,
    "created_at": "2026-11-23T04:00:00.000Z",
    "started_at": None,
    "finished_at": None,
    "expires_at": "2026-11-24T04:00:00.000Z",
    "of_a_newer_service": 1,
}
ENDED = JOB | {"status": "succeeded", "done": 4}
APPLIED = {"Preference-Applied": "wait=1"}


@dataclass
class Answer:
    """One answer of the server, after `delay_s`; with `cut` the connection ends after so many bytes of the body."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay_s: float = 0.0


@dataclass
class Request:
    """One request that the server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """The parameters of its query."""
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


class Scripted:
    """A server with a list of answers, one for each request; the last one is repeated."""

    def __init__(self, client: Callable[..., Sentiq]) -> None:
        """`client` makes clients."""
        self._client = client
        self.answers: list[Answer] = []
        self.requests: list[Request] = []
        self.received = threading.Event()
        self.before_answer: Callable[[], object] = lambda: None
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Starts to listen, on the same port each time."""
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _chunks(self) -> Iterator[bytes]:
                while size := int(self.rfile.readline(), 16):
                    yield self.rfile.read(size)
                    script.received.set()
                    self.rfile.readline()
                self.rfile.readline()

            def _answer(self) -> None:
                chunked = self.headers.get("Transfer-Encoding") == "chunked"
                body = (
                    b"".join(self._chunks()) if chunked else self.rfile.read(int(self.headers.get("Content-Length", 0)))
                )
                script.requests.append(Request(self.command, self.path, dict(self.headers), body))
                answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
                content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                time.sleep(answer.delay_s)
                script.before_answer()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: answer.cut])
                self.close_connection = answer.cut is not None

            do_GET = do_POST = do_PUT = do_DELETE = _answer

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the client has hung up, which some tests make it do

        self._server = Server(("127.0.0.1", self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **arguments: Any) -> Sentiq:
        """A client of this server."""
        return self._client(self.url, **arguments)


@pytest.fixture(params=["Sentiq", "AsyncSentiq"])
def server(request: pytest.FixtureRequest) -> Iterator[Scripted]:
    """A scripted server, and each of the two clients."""
    loop = Loop()
    scripted = Scripted(Sentiq if request.param == "Sentiq" else awaited(loop))
    yield scripted
    scripted.stop()
    loop.stop()


async def each(items: Iterable[T]) -> AsyncIterator[T]:
    """The items, asynchronously."""
    for item in items:
        yield item


def problem(status: int, code: str, **more: Any) -> Answer:
    """An error as the service sends it."""
    headers = more.pop("headers", {})
    return Answer(
        status, {"status": status, "code": code, "detail": f"It is {code}.", "request_id": "r1"} | more, headers
    )


def ndjson(*positions: int, text: str = "x") -> bytes:
    """Lines of a job's results."""
    return b"".join(
        json.dumps({"position": n, "text": text, "status": "done"} | ANSWER, ensure_ascii=False).encode() + b"\n"
        for n in positions
    )


def test_import_is_light() -> None:
    """The client imports none of the service's packages: neither Flask nor Celery nor redis."""
    code = "import sys, webapp.client; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert "httpx" in loaded
    assert not loaded & {"flask", "celery", "kombu", "redis", "gevent", "pydantic", "numpy", "tasks", "model"}


# Errors


def test_refusal_has_all_that_was_said(server: Scripted) -> None:
    """An error carries the service's code, status, detail, request id and line, and its message names the line. The
    request is not tried again.
    """
    server.answers = [problem(422, "malformed_line", line=7)]
    with pytest.raises(SentiqError) as caught:
        server.client().submit(["x"])
    error = caught.value
    assert (error.code, error.status, error.detail) == ("malformed_line", 422, "It is malformed_line.")
    assert (error.request_id, error.line, str(error)) == ("r1", 7, "Line 7: It is malformed_line.")
    assert type(error) is SentiqError
    assert len(server.requests) == 1


def test_refusal_names_the_field(server: Scripted) -> None:
    """The message says which field is wrong, and why."""
    server.answers = [problem(422, "invalid_field", errors=[{"field": "limit", "message": "too small"}])]
    with pytest.raises(SentiqError, match=r"It is invalid_field\. \(limit: too small\)"):
        server.client().predict("x")


def test_unknown_job(server: Scripted) -> None:
    """An unknown job raises JobNotFound."""
    server.answers = [problem(404, "job_not_found")]
    with pytest.raises(JobNotFound):
        server.client().job("b" * 32)


@pytest.mark.parametrize(
    ("answer", "code", "kind"),
    [
        (Answer(502, b"<html>Bad gateway</html>"), "http_502", Unavailable),
        (Answer(503, b"[]"), "http_503", Unavailable),
        (Answer(404, b"<html>"), "http_404", SentiqError),
        (Answer(200, b"<html>It works!</html>"), "not_sentiq", SentiqError),
        (Answer(200, b"[]"), "not_sentiq", SentiqError),
        (Answer(200, b"{}"), "not_sentiq", SentiqError),
        (Answer(200, b"[" * 100_000), "not_sentiq", SentiqError),
        (Answer(422, b'{"errors": 3}'), "http_422", SentiqError),
        (Answer(422, b'{"errors": [3, {}]}'), "http_422", SentiqError),
        (Answer(422, b"[" * 100_000), "http_422", SentiqError),
    ],
)
def test_somebody_else_answers(server: Scripted, answer: Answer, code: str, kind: type[SentiqError]) -> None:
    """An answer from a proxy or another program raises an error too, with a code of its own."""
    server.answers = [answer]
    with pytest.raises(SentiqError) as caught:
        server.client(patience_s=0).job("b" * 32)
    assert caught.value.code == code
    assert type(caught.value) is kind


ENDED_ANSWER = Answer(200, ENDED | {"total": 1})


@pytest.mark.parametrize(
    ("call", "answers"),
    [
        (lambda client: client.predict("a"), [Answer(200, {"label": "POSITIVE"})]),
        (lambda client: client.predict("a"), [Answer(202, ENDED | {"total": 1}), ENDED_ANSWER, Answer(200, b"{}\n")]),
        (lambda client: client.predict("a"), [Answer(202, ENDED | {"total": 1}), ENDED_ANSWER, Answer(200, b"?\n")]),
        (lambda client: client.submit(["a"]), [Answer(202, {"id": 5})]),
        (lambda client: client.job("a"), [Answer(200, JOB | {"created_at": "yesterday"})]),
        (lambda client: client.job("a"), [Answer(200, JOB | {"created_at": 5})]),
        (lambda client: list(client.jobs()), [Answer(200, {})]),
        (lambda client: list(client.jobs()), [Answer(200, {"items": [3], "next": None})]),
        (lambda client: list(client.results("a")), [ENDED_ANSWER, Answer(200, b"3\n")]),
        (lambda client: list(client.results("a")), [ENDED_ANSWER, Answer(200, b'{"error": 3}\n')]),
    ],
)
def test_json_of_somebody_else(server: Scripted, call: Callable[[Sentiq], object], answers: list[Answer]) -> None:
    """JSON that is not what Sentiq answers raises an error of the client, whichever call reads it."""
    server.answers = list(answers)
    with pytest.raises(SentiqError) as caught:
        call(server.client(patience_s=0))
    assert caught.value.code == "not_sentiq"


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://here", "http://", "http://here:port"])
def test_no_address(url: str) -> None:
    """An invalid address is refused before anything is sent."""
    with pytest.raises(ValueError, match="address"):
        Sentiq(url)


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel"])
def test_no_api_key(key: str) -> None:
    """A key that a header cannot carry is refused, and the message does not repeat it."""
    with pytest.raises(ValueError, match="API key") as caught:
        Sentiq(api_key=key)
    assert key not in str(caught.value)


# What is tried again


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(server: Scripted, status: int) -> None:
    """A busy service is asked again after the time that it named, not earlier, and `on_retry` is called."""
    server.answers = [problem(status, "queue_full", headers={"Retry-After": "1"}), Answer(200, PREDICTION)]
    told: list[tuple[str, float]] = []
    began_at = time.monotonic()
    assert (
        server.client(on_retry=lambda error, pause_s: told.append((error.code, pause_s))).predict("x").label
        == "POSITIVE"
    )
    assert time.monotonic() - began_at >= 1
    assert len(server.requests) == 2
    ((code, pause_s),) = told
    assert code == "queue_full"
    assert 1 <= pause_s < 2


def test_patience_ends(server: Scripted) -> None:
    """If the next pause would outlast the patience, the error is raised at once."""
    server.answers = [problem(429, "queue_full", headers={"Retry-After": "30"})]
    began_at = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        server.client(patience_s=10).predict("x")
    assert time.monotonic() - began_at < 5
    assert caught.value.retry_after_s == 30
    assert len(server.requests) == 1


def test_patience_begins_with_the_first_failure(server: Scripted) -> None:
    """The time that a request took before it failed does not use up patience."""
    server.answers = [replace(problem(503, "service_unavailable"), delay_s=0.5), Answer(200, PREDICTION)]
    assert server.client(patience_s=0.3).predict("x").label == "POSITIVE"


def test_pauses_grow(server: Scripted) -> None:
    """A service that stays busy is asked a few times, not hundreds of times."""
    server.answers = [problem(503, "service_unavailable")]
    with pytest.raises(Unavailable):
        server.client(patience_s=1.5).predict("x")
    assert 3 <= len(server.requests) <= 5


def test_absent_from_the_start() -> None:
    """A service that has never answered is not waited for, and the error names its address, without the password."""
    port = free_port()
    began_at = time.monotonic()
    with pytest.raises(Unavailable, match=f"Nothing answers at http://127.0.0.1:{port} ") as caught:
        Sentiq(f"http://me:secret@127.0.0.1:{port}/").predict("x")
    assert time.monotonic() - began_at < 5
    assert (caught.value.code, caught.value.status) == ("unreachable", None)


def test_absent_for_a_while(server: Scripted) -> None:
    """A service that has answered before and is away for a moment is waited for."""
    server.answers = [Answer(200, ENDED, {"Connection": "close"})]
    away = threading.Event()

    def come_back(error: SentiqError, pause_s: float) -> None:
        if not away.is_set():
            away.set()
            server.start()

    with server.client(on_retry=come_back) as client:
        client.job("a" * 32)
        server.stop()
        assert client.wait("a" * 32).ended
    assert away.is_set()


def test_silent_service(server: Scripted) -> None:
    """If the service accepts the connection and does not answer, an error is raised after `timeout_s`."""
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)):
        with pytest.raises(Unavailable) as caught:
            server.client(timeout_s=0.2, patience_s=0).predict("x")
        assert caught.value.code == "timeout"
    server.start()


def test_upload_is_answered_late(server: Scripted) -> None:
    """The answer to an upload may take longer than `timeout_s`: it comes when everything is stored."""
    server.answers = [Answer(202, JOB, delay_s=0.5)]
    assert server.client(timeout_s=0.2, patience_s=0).submit(["a"]).id == JOB["id"]


def test_broken_upload_is_sent_again_under_the_same_key(server: Scripted) -> None:
    """After a broken connection the whole list is sent again, with the same Idempotency-Key; the next call has another
    key.
    """
    server.answers = [Answer(202, JOB, cut=10), problem(409, "idempotency_in_progress"), Answer(202, JOB)]
    client = server.client()
    assert client.submit(["a", "b"]).id == JOB["id"]
    client.submit(["a", "b"])
    first, second, third, other = server.requests
    assert first.body == second.body == third.body == other.body
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_own_key(server: Scripted) -> None:
    """A caller's own Idempotency-Key is the one that is sent."""
    server.answers = [Answer(202, JOB)]
    server.client().submit(["a"], idempotency_key="mine")
    assert server.requests[0].headers["Idempotency-Key"] == "mine"


def test_generator_is_sent_once(server: Scripted) -> None:
    """Texts that can be read only once are not sent again: half of them would be missing."""
    server.answers = [Answer(202, JOB, cut=10)]
    with pytest.raises(Unavailable):
        server.client().submit(text for text in ["a", "b"])
    assert len(server.requests) == 1


# Uploads


def unpacked(body: bytes) -> list[Any]:
    """The records of a compressed NDJSON body."""
    return [json.loads(line) for line in gzip.decompress(body).splitlines()]


@given(st.lists(st.text(st.characters()) | st.fixed_dictionaries({"id": st.integers(), "text": st.text()})))
def test_texts_travel_unharmed(texts: list[str | dict[str, Any]]) -> None:
    """Any texts arrive unchanged, half emojis and line separators too; and a list that is sent twice is the same both
    times.
    """
    body = gzipped_ndjson(texts)
    sent = b"".join(body.parts())
    assert unpacked(sent) == texts
    assert body.again
    assert b"".join(body.parts()) == sent
    assert body.headers == {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}


def test_upload_is_a_stream(server: Scripted) -> None:
    """The first texts are sent before the last one exists."""
    server.answers = [Answer(202, JOB)]

    def endless() -> Iterator[str]:
        for n in range(10_000_000):
            yield f"text number {n} {os.urandom(8).hex()}"
            if server.received.is_set():
                return
        raise AssertionError("nothing was sent of ten million texts")

    server.client().submit(endless())
    assert unpacked(server.requests[0].body)


@pytest.mark.parametrize(
    ("name", "content_type", "sent_type", "packed"),
    [
        ("in.csv", None, "text/csv", False),
        ("in.CSV.gz", None, "text/csv", True),
        ("in.ndjson", None, "application/x-ndjson", False),
        ("in.jsonl.gz", None, "application/x-ndjson", True),
        ("in.txt", None, "text/plain", False),
        ("in.json", None, "application/json", False),
        ("in.tsv", "csv", "text/csv", False),
        ("in", ".txt.gz", "text/plain", True),
        ("in.log", "text/plain", "text/plain", False),
    ],
)
def test_file_type(
    server: Scripted, tmp_path: Path, name: str, content_type: str | None, sent_type: str, packed: bool
) -> None:
    """A file's type is told by its ending or by `content_type`; the file is sent unchanged, with its length."""
    server.answers = [Answer(202, JOB)]
    path = tmp_path / name
    path.write_bytes(b"text\nhello\n")
    sent: list[int] = []
    server.client().submit(
        path,
        content_type=content_type,
        column="text",
        delimiter="tab",
        callback_url="http://x/y",
        on_upload=sent.append,
    )
    (request,) = server.requests
    assert request.body == b"text\nhello\n"
    assert request.headers["Content-Type"] == sent_type
    assert (request.headers.get("Content-Encoding") == "gzip") is packed
    assert request.headers["Content-Length"] == "11"
    assert request.query == {"column": "text", "delimiter": "tab", "callback_url": "http://x/y"}
    assert sent[-1] == 11


def test_unknown_file_type(server: Scripted, tmp_path: Path) -> None:
    """A file of unknown type is not sent."""
    path = tmp_path / "in.docx"
    path.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"in\.docx.*\.csv"):
        server.client().submit(path)
    with pytest.raises(ValueError, match="None"):
        server.client().submit(io.BytesIO(b"x"))
    assert not server.requests


def test_open_files(server: Scripted, tmp_path: Path) -> None:
    """An open file is sent from its current position, also when it is sent again. A file object that decompresses is
    sent decompressed, with the right length.
    """
    server.answers = [Answer(202, JOB, cut=3), Answer(202, JOB)]
    file = io.BytesIO(b"skipped\nsent\n")
    file.readline()
    server.client().submit(file, content_type=".txt")
    assert [request.body for request in server.requests] == [b"sent\n"] * 2
    path = tmp_path / "in.txt.gz"
    path.write_bytes(gzip.compress(b"a line\n" * 1000))
    with gzip.open(path) as unpacking:
        server.client().submit(unpacking, content_type="text/plain")  # type: ignore[arg-type]
    assert server.requests[-1].body == b"a line\n" * 1000
    with path.open() as wrong, pytest.raises(TypeError, match="binary"):
        server.client().submit(wrong)  # type: ignore[arg-type]


def test_pipe_is_sent_once(server: Scripted) -> None:
    """A pipe can be sent, but not again."""
    server.answers = [Answer(202, JOB), Answer(202, JOB, cut=3)]
    for _ in range(2):
        reader, writer = os.pipe()
        os.write(writer, b"a\nb\n")
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            if not server.requests:
                server.client().submit(pipe, content_type="txt")
                continue
            with pytest.raises(Unavailable):
                server.client().submit(pipe, content_type="txt")
    assert [request.body for request in server.requests] == [b"a\nb\n"] * 2


def test_own_errors_are_not_the_service(server: Scripted) -> None:
    """An error that the caller's own iterable raises reaches the caller unchanged."""
    server.answers = [Answer(202, JOB)]

    def texts() -> Iterator[str]:
        yield "a"
        raise LookupError("of the caller")

    with pytest.raises(LookupError, match="of the caller"):
        server.client().submit(texts())


# Jobs and results


def test_headers(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has the API key, and requests to this machine ignore a proxy that the environment names."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    server.answers = [Answer(200, ENDED)]
    server.client(api_key="key").job("a" * 32)
    assert server.requests[0].headers["Authorization"] == "Bearer key"


def test_job_is_typed(server: Scripted) -> None:
    """Times are `datetime`s, fields of a newer service are dropped, and a path in the service's address is kept."""
    server.answers = [Answer(200, JOB)]
    with Sentiq(f"{server.url}/prefix/") as client:
        job = client.job("a" * 32)
    assert (job.created_at.isoformat(), job.started_at, job.ended) == ("2026-11-23T04:00:00+00:00", None, False)
    assert server.requests[0].path == f"/prefix/jobs/{'a' * 32}"


def test_jobs_page_by_page(server: Scripted) -> None:
    """All pages are read, each when it is needed, with the status that was asked for."""
    server.answers = [
        Answer(200, {"items": [JOB | {"id": "1"}, JOB | {"id": "2"}], "next": "/jobs?cursor=c%2F2&status=running"}),
        Answer(200, {"items": [JOB | {"id": "3"}], "next": None}),
    ]
    jobs = server.client().jobs("running")
    assert next(jobs).id == "1"
    assert len(server.requests) == 1
    assert [job.id for job in jobs] == ["2", "3"]
    assert [request.query for request in server.requests] == [
        {"status": "running"},
        {"cursor": "c/2", "status": "running"},
    ]


def test_wait_tells_progress(server: Scripted) -> None:
    """`on_progress` gets every state of the job that was read, the last one too; each time the service is asked to wait
    a second.
    """
    server.answers = [Answer(200, JOB, APPLIED), Answer(200, JOB | {"done": 2}, APPLIED), Answer(200, ENDED, APPLIED)]
    done: list[int] = []
    assert server.client().wait("a" * 32, on_progress=lambda job: done.append(job.done)).status == "succeeded"
    assert done == [1, 2, 4]
    assert {request.headers["Prefer"] for request in server.requests} == {"wait=1"}


def test_wait_where_prefer_is_lost(server: Scripted) -> None:
    """If a proxy drops `Prefer`, the client pauses between its requests, and `timeout_s` still holds."""
    server.answers = [Answer(200, JOB)]
    with pytest.raises(WaitTimeout) as caught:
        server.client().wait("a" * 32, timeout_s=1)
    assert caught.value.job.done == 1
    assert 3 <= len(server.requests) <= 8


def test_wait_lives_through_an_outage(server: Scripted) -> None:
    """Waiting for a job goes on through 503s and broken answers."""
    server.answers = [
        problem(503, "service_unavailable"),
        Answer(200, JOB, cut=5),
        Answer(502, b""),
        Answer(200, ENDED, APPLIED),
    ]
    assert server.client().wait("a" * 32).ended
    # Half the time that a request may take.
    assert [request.headers["Prefer"] for request in server.requests] == ["wait=15"] * 4


def test_predict_by_way_of_a_job(server: Scripted) -> None:
    """After a 202 the prediction is read from the one line of the job."""
    answers = [Answer(202, JOB | {"total": 1}), Answer(200, ENDED | {"total": 1}, APPLIED)]
    server.answers = [*answers, Answer(200, ndjson(0, text="what was asked"))]
    prediction = server.client().predict("what was asked")
    assert (prediction.text, prediction.label, prediction.processing_time_ms) == ("what was asked", "POSITIVE", None)
    failed = {"position": 0, "text": "x", "status": "failed", "error": {"code": "text_failed"}}
    server.answers = [*answers, Answer(200, failed)]
    server.answers[-1].body = json.dumps(failed).encode() + b"\n"
    with pytest.raises(SentiqError) as caught:
        server.client().predict("x")
    assert caught.value.code == "text_failed"


@pytest.mark.parametrize("cut", [0, 1, len(ndjson(0)), len(ndjson(0, 1)) + 5, len(ndjson(0, 1, 2, 3)) - 1])
def test_results_go_on_after_a_break(server: Scripted, cut: int) -> None:
    """Wherever the connection breaks, each line comes once, in order; the next request begins at the first missing
    line.
    """
    whole = ndjson(0, 1, 2, 3)
    arrived = whole[:cut].count(b"\n")
    server.answers = [Answer(200, ENDED), Answer(200, whole, cut=cut), Answer(200, ndjson(*range(arrived, 4)))]
    assert [line.position for line in server.client().results("a" * 32)] == [0, 1, 2, 3]
    assert [request.query.get("cursor") for request in server.requests] == [None, "0", str(arrived)]


def test_results_that_end_early(server: Scripted) -> None:
    """An answer that ends properly but lacks lines is not taken for complete; if no progress is made, an error is
    raised.
    """
    server.answers = [Answer(200, ENDED), Answer(200, ndjson(0, 1)), Answer(200, b"")]
    lines = server.client(patience_s=0.5).results("a" * 32)
    assert [next(lines).position, next(lines).position] == [0, 1]
    with pytest.raises(Unavailable) as caught:
        next(lines)
    assert caught.value.code == "results_cut_off"


def test_progress_renews_patience(server: Scripted) -> None:
    """Results whose connection breaks again and again, but after at least one new line, are read to the end."""
    server.answers = [Answer(200, ENDED), *(Answer(200, ndjson(position)) for position in range(4))]
    assert len(list(server.client(patience_s=0.25).results("a" * 32))) == 4


SEPARATORS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\rh"


def test_results_with_separators(server: Scripted) -> None:
    """A text with Unicode's own line separators is one line."""
    server.answers = [Answer(200, ENDED | {"total": 1}), Answer(200, ndjson(0, text=SEPARATORS))]
    assert [line.text for line in server.client().results("a" * 32)] == [SEPARATORS]


@given(st.lists(st.binary(max_size=5).map(lambda raw: raw.replace(b"\n", b"")), max_size=5), st.data())
def test_split_lines(lines: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut into parts, the lines are the same."""
    whole = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert [line for found in one_by_one(split_lines(each(parts))) for line in found] == lines


@given(st.lists(st.integers()))
def test_json_array(values: list[int]) -> None:
    """Lines of JSON become one JSON array, an empty one too."""
    assert json.loads(b"".join(one_by_one(json_array(each(str(value).encode() for value in values))))) == values


def test_failed_line(server: Scripted) -> None:
    """A failed line has its error's code."""
    failed = {
        "position": 0,
        "text": "",
        "status": "failed",
        "error": {"code": "empty_text"},
        "id": 7,
        "columns": {"a": "b"},
    }
    server.answers = [Answer(200, ENDED | {"total": 1}), Answer(200, json.dumps(failed).encode() + b"\n")]
    (line,) = server.client().results("a" * 32)
    assert (line.status, line.error, line.label, line.id, line.columns) == ("failed", "empty_text", None, 7, {"a": "b"})


# Downloads


@pytest.mark.parametrize(("format", "cut"), [("csv", None), ("csv", 3), ("ndjson", None), ("json", None)])
def test_download_to_a_path(server: Scripted, tmp_path: Path, format: Any, cut: int | None) -> None:
    """The file appears once it is complete. If the download fails for good, an older file is untouched, and nothing
    else is left.
    """
    path = tmp_path / "out"
    path.write_text("before")
    content = b"text,label\nx,POSITIVE\n" if format == "csv" else ndjson(0, 1, 2, 3)
    server.answers = [Answer(200, content, cut=cut)] if format == "csv" else [Answer(200, ENDED), Answer(200, content)]
    sizes: list[int] = []

    def download() -> None:
        server.client(patience_s=0).download("a" * 32, path, format, on_download=sizes.append)

    if cut is None:
        download()
        raw = path.read_bytes()
        assert sizes[-1] == len(raw)
        assert [line["position"] for line in json.loads(raw)] == [0, 1, 2, 3] if format == "json" else raw == content
    else:
        with pytest.raises(Unavailable):
            download()
        assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_whole_file_is_an_ordinary_file(tmp_path: Path) -> None:
    """A new file has the usual permissions, and for a symbolic link the link's target is written."""
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    with whole_file(link) as file:
        file.write(b"x")
    umask = os.umask(0)
    os.umask(umask)
    assert link.is_symlink()
    assert target.read_bytes() == b"x"
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask


def test_refusals_in_the_words_of_the_command_line() -> None:
    """What the service tells callers by HTTP to do, the command line tells as its own commands."""
    assert "(sentiq remove JOB)" in in_commands(str(StorageQuotaExceeded.by_jobs(1, 2, 3)))
    assert "(sentiq cancel JOB)" in in_commands(str(TooManyJobs(3)))


@pytest.mark.parametrize(
    ("sentence", "option"),
    [
        ("`Review Text` looks like texts: ?column=Review%20Text.", "texts: --column 'Review Text'."),
        ("say so: ?delimiter=;.", "so: --delimiter ';'."),
        ("Say which one is meant: ?sheet=NAME. The sheets are", "meant: --sheet NAME. The"),
        ("say that: ?quote=%22.", "that: --quote '\"'."),
        ("an error of their own instead: ?on_error=line.", "instead: --on-error line."),
        ("is a row like others: ?header=false", "others: --no-header"),
        ("What is this?column", "What is this?column"),
    ],
)
def test_options_in_place_of_queries(sentence: str, option: str) -> None:
    """Where the service's sentences tell callers by HTTP which query helps, the command line names its option."""
    assert option in in_commands(sentence)


@pytest.mark.parametrize("owner", ["ann", "a-name-of-64-characters".ljust(64, "x"), None])
def test_whose_jobs_are_listed(server: Scripted, monkeypatch: pytest.MonkeyPatch, owner: str | None) -> None:
    """Where the service says whose jobs they are, the list of the command line says so too, within 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    server.answers = [Answer(200, {"items": [ENDED | {"owner": owner} if owner else ENDED], "next": None})]
    shown = CliRunner().invoke(cli, ["jobs", "--url", server.url]).stdout
    assert (shown.split()[6] == "key") is (owner is not None)
    assert "a" * 32 in shown
    assert owner is None or owner[:5] in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_retry_is_told_with_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    """While the service is busy, the command line says what is the matter and after how many seconds it asks again."""
    Screen().trouble(Unavailable("You may send 20 texts in a minute.", code="rate_limited"), 32.1)
    assert capsys.readouterr().err == "You may send 20 texts in a minute. Trying again in 33 s.\n"


def test_device_is_not_replaced(tmp_path: Path) -> None:
    """A pipe or a device is written to and not replaced."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(fifo.read_bytes()))
    reader.start()
    with whole_file(fifo) as file:
        file.write(b"x")
    reader.join(10)
    assert got == [b"x"]
    assert fifo.is_fifo()
