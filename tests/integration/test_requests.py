"""Errors in a request are answered as problem+json, with the right status, and never repeat the text."""

from __future__ import annotations

import json
import re
import socket
import uuid
from typing import Any

import httpx
import pytest

from tests.support.http_raw import Answer, ask, request
from tests.support.stack import Stack
from tests.support.waiting import wait_until

JSON = {"Content-Type": "application/json"}
SECRET = "a secret that nobody may read twice"


_WRONG_TYPES: list[dict[str, str]] = [
    {},
    {"Content-Type": "application/x-www-form-urlencoded"},
    {"Content-Type": "nonsense"},
]


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Checks that the answer is a problem with this status and code; returns its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["title"]
    assert body["detail"]
    return body


@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"text": "a secret',
        b"{'text': 'x'}",
        b'{"text": NaN}',
        b'{"text": Infinity}',
        b'{"text": "\\ud83d"',
        b'{"text": "\\ud83d", "n": NaN}',
        b'{"text": "tab\there"}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000 + b'"\\ud83d"' + b"]" * 100_000,
        b'{"text": ' + b"9" * 10_000 + b'}"\\ud83d"',
        b'{"text": "x"} trailing',
    ],
    ids=lambda body: f"{body[:24]!r}{len(body)}",
)
def test_malformed_json(service: Stack, path: str, body: bytes) -> None:
    """A body that is not JSON is 400, however deep or broken it is."""
    problem(service.http.post(path, content=body, headers=JSON), 400, "malformed_json")


@pytest.mark.parametrize(("path", "status"), [("/predict", 400), ("/batch_predict", 422)])
@pytest.mark.parametrize("body", [b'{"text": "\xff\xfe"}', b'{"text": "\xff\xfe\\ud83d"}'])
def test_invalid_encoding(service: Stack, path: str, status: int, body: bytes) -> None:
    """JSON that is not UTF-8 is refused as such, by /batch_predict with the line."""
    problem(service.http.post(path, content=body, headers=JSON), status, "invalid_encoding")


def test_json_in_utf_16(service: Stack) -> None:
    """A file of JSON is read by its byte order mark, a request of /predict is not."""
    body = '{"text": "good"}'.encode("utf-16")
    problem(service.http.post("/predict", content=body, headers=JSON), 400, "invalid_encoding")
    assert service.http.post("/batch_predict", content=body, headers=JSON).status_code == 202


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/predict", {}, "text"),
        ("/predict", {"text": None}, "text"),
        ("/predict", {"text": 5}, "text"),
        ("/predict", {"text": True}, "text"),
        ("/predict", {"text": [SECRET]}, "text"),
        ("/predict", {"text": {"a": SECRET}}, "text"),
        ("/predict", {"text": SECRET, "lang": "en"}, "lang"),
        ("/predict", [SECRET], "(body)"),
        ("/predict", SECRET, "(body)"),
        ("/predict", None, "(body)"),
        ("/predict", 1e308, "(body)"),
        ("/batch_predict", {}, "texts"),
        ("/batch_predict", {"texts": []}, "texts"),
        ("/batch_predict", {"texts": SECRET}, "texts"),
        ("/batch_predict", {"texts": {"0": SECRET}}, "texts"),
        ("/batch_predict", {"texts": [SECRET, 5]}, "texts.1"),
        ("/batch_predict", {"texts": [SECRET, None]}, "texts.1"),
        ("/batch_predict", {"texts": [[SECRET]]}, "texts.0"),
        ("/batch_predict", {"texts": [SECRET], "text": SECRET}, "text"),
    ],
)
def test_wrong_fields(service: Stack, path: str, body: Any, field: str) -> None:
    """A missing, wrong or unknown field is 422 and named; what was sent is not repeated."""
    answer = service.http.post(path, content=json.dumps(body), headers=JSON)
    assert field in [fault["field"] for fault in problem(answer, 422, "invalid_field")["errors"]]
    assert SECRET not in answer.text


def test_many_faults_make_a_short_answer(service: Stack) -> None:
    """Neither thousands of faults nor a field with a huge name make a huge answer."""
    for body in ({"texts": [1] * 3000}, {"texts": ["x"], "n" * 1_000_000: 1}):
        answer = service.http.post("/batch_predict", json=body)
        problem(answer, 422, "invalid_field")
        assert len(answer.content) < 10_000


def test_last_of_duplicate_keys(service: Stack) -> None:
    """If the body has a key twice, the last one counts, with and without a lone surrogate in the body."""
    for tail in ("", r"\ud83d"):
        answer = service.http.post("/predict", content=f'{{"text": "first", "text": "last{tail}"}}', headers=JSON)
        assert answer.json()["text"].startswith("last")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        *((path, headers) for path in ("/predict", "/batch_predict") for headers in _WRONG_TYPES),
        ("/predict", {"Content-Type": "text/plain"}),
        ("/predict", {"Content-Type": "multipart/form-data; boundary=x"}),
        ("/predict", {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
        ("/batch_predict", {"Content-Type": "application/json", "Content-Encoding": "br"}),
        ("/batch_predict", {"Content-Type": "text/plain; charset=no-such-charset"}),
    ],
    ids=str,
)
def test_wrong_type(service: Stack, path: str, headers: dict[str, str]) -> None:
    """A body with a type, compression or charset that the endpoint does not read is 415."""
    problem(
        service.http.post(path, content=b'{"text": "x", "texts": ["x"]}', headers=headers),
        415,
        "unsupported_media_type",
    )


def test_json_with_charset(service: Stack) -> None:
    """A charset parameter does no harm."""
    answer = service.http.post(
        "/predict", content=b'{"text": "x"}', headers={"Content-Type": "application/json; charset=utf-8"}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/batch_predict"])
def test_body_too_large(service: Stack, path: str) -> None:
    """A body of more than MAX_UPLOAD_BYTES is 413, whether its declared length or the bytes that come say so."""
    code = "request_entity_too_large"
    problem(service.http.post(path, content=b" " * 4_000_001, headers=JSON), 413, code)
    chunks = (b" " * 100_000 for _ in range(41))
    problem(service.http.post(path, content=chunks, headers=JSON), 413, code)


def test_body_declared_too_large(service: Stack) -> None:
    """A declared length above MAX_UPLOAD_BYTES is refused before the body has come."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        lines = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        connection.sendall(f"POST /predict HTTP/1.1\r\n{lines}".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_many_wrong_texts(service: Stack) -> None:
    """However many texts of a job are invalid, only the first is named, and the rest is not read."""
    body = problem(service.http.post("/batch_predict", json={"texts": ["x", 1] * 500_000}), 422, "invalid_field")
    assert [fault["field"] for fault in body["errors"]] == ["texts.1"]


def test_too_many_texts(service: Stack) -> None:
    """A job with more than MAX_BATCH_TEXTS texts is 413, and the answer names the limit."""
    body = problem(service.http.post("/batch_predict", json={"texts": ["x"] * 3001}), 413, "too_many_texts")
    assert "3000" in body["detail"]
    assert body["line"] == 3001


NOBODYS = uuid.UUID(int=2**127 - 1)


@pytest.mark.parametrize("tail", ["", "/results"])
@pytest.mark.parametrize(
    "job_id", [NOBODYS.hex, "0", "x" * 3000, "%00", "%2e%2e", "é", NOBODYS.hex.upper(), str(NOBODYS)]
)
def test_unknown_job(service: Stack, job_id: str, tail: str) -> None:
    """An id that no job has is 404 at once, well-formed or not, even with `Prefer: wait`."""
    answer = service.http.get(f"/jobs/{job_id}{tail}", headers={"Prefer": "wait=50"})
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_unknown_job_code(service: Stack) -> None:
    """An unknown job and an unknown address have different codes."""
    problem(service.http.get(f"/jobs/{uuid.uuid4().hex}"), 404, "job_not_found")
    problem(service.http.get("/jobs/5/results"), 404, "job_not_found")
    problem(service.http.get("/nowhere"), 404, "not_found")


@pytest.mark.parametrize(
    "query", ["cursor=-1", "cursor=x", "limit=0", "limit=1.5", "format=xml", "cursor=", "page=1", f"cursor={2**70}"]
)
def test_wrong_page(service: Stack, query: str) -> None:
    """An invalid page is 422, and the answer names the parameter."""
    job = service.submit(["x"])
    body = problem(service.http.get(f"{job['links']['results']}?{query}"), 422, "invalid_field")
    assert [fault["field"] for fault in body["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("DELETE", "/predict", "POST"),
        ("GET", "/batch_predict", "POST"),
        ("POST", "/jobs/1", "GET"),
        ("PUT", "/health", "GET"),
        ("POST", "/openapi.json", "GET"),
    ],
)
def test_wrong_method(service: Stack, method: str, path: str, allowed: str) -> None:
    """A method that an address does not allow is 405, with those that it allows."""
    answer = service.http.request(method, path)
    problem(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["Allow"].split(", ")


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "SCRIPT-NAME", "X-Forwarded-Prefix", "PATH_INFO", "X-Script-Name"])
@pytest.mark.parametrize("claimed", ["//evil.example", "/foo", "/", "nonsense"])
def test_script_name_is_dropped(service: Stack, header: str, claimed: str) -> None:
    """No header says below which path the service is: neither addresses in answers nor paths follow it."""

    def get(path: str) -> Answer:
        raw = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}: {claimed}\r\n\r\n"
        answer = ask(service.port, raw.encode())
        assert answer is not None
        return answer

    assert b'href="/files"' in get("/").body
    assert get("/foo/metrics").status == get("//evil.example/").status == 404
    assert get("/health/live").status == 200


def test_request_id_is_kept(service: Stack) -> None:
    """The caller's X-Request-ID comes back, and is in a problem's body and in the request's log line."""
    given = f"caller-{uuid.uuid4().hex}"
    answer = service.http.get("/nowhere", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    assert answer.json()["request_id"] == given
    web = service.web
    assert web is not None
    line = wait_until(
        lambda: next((line for line in web.log.splitlines() if given in line), None), what="the request's log line"
    )
    assert "404" in line
    assert "/nowhere" in line


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "<script>", "a;b", "é".encode()])
def test_request_id_is_replaced(service: Stack, given: str | bytes) -> None:
    """An X-Request-ID that could do harm in a log is replaced by a new one."""
    answer = service.http.get("/health/live", headers={"X-Request-ID": given})  # type: ignore[arg-type]
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_request_ids_differ(service: Stack) -> None:
    """Each request without an id gets one of its own."""
    assert len({service.http.get("/health/live").headers["X-Request-ID"] for _ in range(20)}) == 20


def test_path_cannot_forge_log_lines(service: Stack) -> None:
    """A line break in an address does not begin a new line in the log."""
    mark = uuid.uuid4().hex
    service.http.get(f"/x%0A12:00:00 [info] forged {mark}")
    web = service.web
    assert web is not None
    line = wait_until(
        lambda: next((line for line in web.log.splitlines() if mark in line), None), what="the request's log line"
    )
    assert "answered" in line


def test_every_answer_forbids_sniffing(service: Stack) -> None:
    """Answers and errors tell browsers not to guess another type."""
    for path in ("/health/live", "/nowhere", "/docs"):
        assert service.http.get(path).headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_answer_without_body(service: Stack, connection: str) -> None:
    """An answer without a body is sent, whether or not the connection stays open afterwards."""
    answer = ask(service.port, request("HEAD", "/health/live", Connection=connection), timeout_s=10)
    assert answer is not None
    assert (answer.status, answer.headers["connection"], answer.body) == (200, connection, b"")
