"""Uploads of every type on a running service: read as a stream, and accepted completely or not at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack
from tests.support.waiting import wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}


def jobs_of(stack: Stack) -> set[bytes]:
    """Every Redis key of any job, including those of its results and its Idempotency-Key."""
    return {key for pattern in ("sentiq:j:*", "celery-task-meta-*", "sentiq:i:*") for key in stack.redis.keys(pattern)}


def lines(*texts: Any) -> bytes:
    """These texts as NDJSON."""
    return b"".join(json.dumps(text).encode() + b"\n" for text in texts)


def upload(stack: Stack, body: bytes | Iterator[bytes], headers: dict[str, str], query: str = "") -> httpx.Response:
    """POST /batch_predict."""
    return stack.http.post(f"/batch_predict{query}", content=body, headers=headers)


def accepted(stack: Stack, answer: httpx.Response) -> dict[str, Any]:
    """The accepted job, once it has ended."""
    assert answer.status_code == 202, answer.text
    return stack.ended(answer.json())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("mimetype", "body"),
    [
        ("application/json", b'{"texts": ["good \\u00e9", "bad"]}'),
        ("application/x-ndjson", b'"good \xc3\xa9"\n{"text": "bad", "id": 7, "lang": "en"}\n'),
        ("text/csv", b'text,n\r\n"good \xc3\xa9",1\r\nbad,2\r\n'),
        ("text/plain", b"good \xc3\xa9\nbad\n"),
    ],
)
def test_every_type(service: Stack, mimetype: str, body: bytes, packed: bool) -> None:
    """The same texts are read from every type of body, plain or gzip, sent alone or as a form's file."""
    headers = {"Content-Type": mimetype} | ({"Content-Encoding": "gzip"} if packed else {})
    sent = gzip.compress(body) if packed else body
    alone = accepted(service, upload(service, sent, headers))
    name = "texts.gz" if packed else "texts"
    part = httpx.Request("POST", "/", files={"file": (name, sent, mimetype)})
    form = accepted(service, upload(service, part.read(), {"Content-Type": part.headers["Content-Type"]}))
    for job in (alone, form):
        assert [(item["text"], item["label"]) for item in service.items(job)] == [
            ("good é", "POSITIVE"),
            ("bad", "NEGATIVE"),
        ]


HOSTILE = "<img src=x onerror=alert(1)>{{7*7}}\u202e.csv"


def test_a_job_has_a_name(service: Stack) -> None:
    """A job is called as `name` says or, without it, by the name of the form's file: when it is made, when it is looked
    at, and in the list of jobs. A job without a name has none.
    """
    part = httpx.Request("POST", "/", files={"file": (HOSTILE, b"text\ngood\n", "text/csv")})
    body, form = part.read(), {"Content-Type": part.headers["Content-Type"]}
    by_file = upload(service, body, form).json()
    by_query = upload(service, body, form, "?name=%20May%0A2026%20").json()
    without = upload(service, b'{"texts": ["good"]}', {"Content-Type": "application/json"}).json()
    assert (by_file["name"], by_query["name"]) == (HOSTILE, "May 2026")
    assert "name" not in without
    for made in (by_file, by_query, without):
        looked = service.http.get(made["links"]["self"]).json()
        (listed,) = (one for one in service.http.get("/jobs").json()["items"] if one["id"] == made["id"])
        assert made.get("name") == looked.get("name") == listed.get("name")
        service.ended(made)


def test_a_name_that_is_too_long(service: Stack) -> None:
    """A `name` of more than 200 characters is refused; of a file's name that is longer the middle is left out."""
    answer = upload(service, b"good\n", {"Content-Type": "text/plain"}, f"?name={'x' * 201}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")
    part = httpx.Request("POST", "/", files={"file": ("x" * 500 + ".txt", b"good\n", "text/plain")})
    job = upload(service, part.read(), {"Content-Type": part.headers["Content-Type"]}).json()
    assert (len(job["name"]), job["name"][-6:]) == (200, "xx.txt")
    service.ended(job)


def test_csv_there_and_back(service: Stack) -> None:
    """A CSV file comes back with its own columns unchanged, quotes and line breaks included, followed by the columns of
    the result.
    """
    rows = [
        ["id", "tweet", "label"],
        ["1", "good", 'a "b", c'],
        ["2", "bad\nnews", ""],
        ["3", "", "x"],
        ["4", "good", "ü"],
    ]
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    job = accepted(service, upload(service, out.getvalue().encode(), CSV, "?column=tweet"))
    answer = service.http.get(job["links"]["results"], headers={"Accept": "text/csv"})
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    back = list(csv.reader(io.StringIO(answer.text, newline="")))
    assert [row[:3] for row in back] == rows
    assert back[0][3:6] == ["position", "status", "sentiq_label"]
    scores = ["negative", "neutral", "positive"]
    after = ["language", "language_sureness", "uncertain", "warnings", "windows"]
    assert back[0][6:] == ["confidence", *scores, "truncated", "error", "model", *after]
    assert [(row[3], row[4], row[5], row[11]) for row in back[1:]] == [
        ("0", "done", "POSITIVE", ""),
        ("1", "done", "NEGATIVE", ""),
        ("2", "failed", "", "empty_text"),
        ("3", "done", "POSITIVE", ""),
    ]
    items = service.items(job)
    assert items[0]["columns"] == {"id": "1", "label": 'a "b", c'}
    assert [item["id"] for item in items] == ["1", "2", "3", "4"]
    assert [float(row[6]) for row in back[1:] if row[6]] == [
        item["confidence"] for item in items if "confidence" in item
    ]


def test_ids_come_back(service: Stack) -> None:
    """Ids of NDJSON lines come back with their lines, in JSON and in CSV, numbers as numbers; lines without an id have
    none.
    """
    job = accepted(
        service, upload(service, lines({"text": "good", "id": 5}, {"text": "bad", "id": "x,1"}, "plain"), NDJSON)
    )
    streamed = [
        json.loads(line) for line in service.http.get(f"{job['links']['results']}?format=ndjson").text.splitlines()
    ]
    assert streamed == service.items(job)
    assert [item.get("id") for item in streamed] == [5, "x,1", None]
    rows = list(csv.DictReader(io.StringIO(service.http.get(f"{job['links']['results']}?format=csv").text, newline="")))
    assert [(row["id"], row["text"], row["label"]) for row in rows] == [
        ("5", "good", "POSITIVE"),
        ("x,1", "bad", "NEGATIVE"),
        ("", "plain", "NEUTRAL"),
    ]


def test_downloads_are_streamed_and_packed(service: Stack) -> None:
    """NDJSON and CSV have all lines from the cursor on, or as many as asked for, and are compressed if the caller
    accepts gzip.
    """
    texts = [f"text {uuid.uuid4().hex}" for _ in range(1100)]
    job = accepted(service, upload(service, lines(*texts), NDJSON))
    address = job["links"]["results"]
    for query, expected in (
        ("", texts),
        ("&cursor=400", texts[400:]),
        ("&cursor=499&limit=502", texts[499:1001]),
        ("&cursor=1100", []),
    ):
        answer = service.http.get(f"{address}?format=ndjson{query}", headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert [json.loads(line)["text"] for line in answer.text.splitlines()] == expected
        plain = service.http.get(f"{address}?format=csv{query}", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert [row["text"] for row in csv.DictReader(io.StringIO(plain.text, newline=""))] == expected


def test_chunks_are_scored_while_the_rest_arrives(service: Stack) -> None:
    """The first chunks of an upload are answered before its last line is sent; until then the job says that it is still
    coming in.
    """
    seen: list[dict[str, Any]] = []
    mark = uuid.uuid4().hex

    def body() -> Iterator[bytes]:
        yield lines(*(f"{mark} {i}" for i in range(1000)))
        with httpx.Client(base_url=service.http.base_url, trust_env=False) as other:

            def running() -> dict[str, Any] | None:
                (job,) = other.get("/jobs?limit=1").json()["items"]
                return job if job["receiving"] and job["done"] > 0 else None

            seen.append(wait_until(running, what="the first chunk of an upload to be done"))
        yield lines("the", "end")

    job = accepted(service, upload(service, body(), NDJSON))
    assert seen[0]["id"] == job["id"]
    assert seen[0]["expires_at"] < job["expires_at"]
    assert (job["total"], job["done"], job["receiving"]) == (1002, 1002, False)


@pytest.mark.parametrize(
    ("last", "status", "code"),
    [
        (b'{"txt": 1}\n', 422, "malformed_line"),
        (b'"\xff"\n', 422, "invalid_encoding"),
        (lines(*["one too many"] * 2000), 413, "too_many_texts"),
        (b'"' + b"x" * 1_300_000, 413, "line_too_long"),
    ],
    ids=["malformed", "encoding", "too many", "too long"],
)
def test_refused_late(service: Stack, last: bytes, status: int, code: str) -> None:
    """An upload with a bad line after thousands of good ones is refused: the answer names the line, and nothing of the
    job is left.
    """
    before = jobs_of(service)
    good = lines(*(f"{uuid.uuid4().hex}" for _ in range(1001)))
    answer = upload(service, good + last + lines(*["rest"] * 20_000), NDJSON | {"Idempotency-Key": uuid.uuid4().hex})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["line"] == (3001 if code == "too_many_texts" else 1002)
    wait_until(lambda: jobs_of(service) <= before, what="the refused job's keys to be gone")


def test_hung_up(service: Stack) -> None:
    """A caller who hangs up in the middle of an upload leaves nothing behind."""
    before = jobs_of(service)
    part = lines(*(uuid.uuid4().hex for _ in range(1000)))
    head = (
        "POST /batch_predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(part) + 10}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        connection.sendall(head.encode() + part)
        wait_until(lambda: jobs_of(service) - before, what="the upload to begin")
    wait_until(lambda: jobs_of(service) <= before, what="the abandoned job's keys to be gone")


def test_key_gives_the_same_job(service: Stack) -> None:
    """The same Idempotency-Key with the same texts gives the same job, compressed or not, under the name that it got
    first; with other texts 409.
    """
    key = {"Idempotency-Key": uuid.uuid4().hex}
    body = lines("good", "bad")
    first = upload(service, body, NDJSON | key)
    again = upload(service, gzip.compress(body), NDJSON | key | {"Content-Encoding": "gzip"}, "?name=again")
    assert "name" not in again.json()
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    for other in (lines("good"), lines("bad", "good"), lines("good", {"text": "bad", "id": 1})):
        answer = upload(service, other, NDJSON | key)
        assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_mismatch")
    assert upload(service, body, NDJSON).json()["id"] != first.json()["id"]
    assert upload(service, body, NDJSON | {"Idempotency-Key": uuid.uuid4().hex}).json()["id"] != first.json()["id"]


def test_key_of_many_at_once(service: Stack) -> None:
    """Of many simultaneous requests with one key one creates the job; the others get it or are told to come again."""
    key, body = {"Idempotency-Key": uuid.uuid4().hex}, lines(*(uuid.uuid4().hex for _ in range(800)))
    before = service.metric("sentiment_jobs_total")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: upload(service, body, NDJSON | key), range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_progress"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    assert service.metric("sentiment_jobs_total") == before + 1


def test_key_is_free_after_a_refusal(service: Stack) -> None:
    """A key whose upload was refused may be used again, with other texts."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    assert upload(service, lines("good", 5), NDJSON | key).status_code == 422
    assert upload(service, lines("good"), NDJSON | key).status_code == 202


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é".encode()])
def test_wrong_key(service: Stack, key: str | bytes) -> None:
    """A key with characters that a header should not have is refused."""
    answer = upload(service, lines("good"), NDJSON | {"Idempotency-Key": key})  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


def test_key_of_two_requests_at_once(service: Stack) -> None:
    """While the first request with a key is still coming in, a second one is told to come again later."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    second: list[httpx.Response] = []

    def body() -> Iterator[bytes]:
        yield lines("good") + b"\n" * 16_384  # as much as is read at once, so that its first line is seen
        with httpx.Client(base_url=service.http.base_url, trust_env=False) as other:
            wait_until(
                lambda: any(job["receiving"] for job in other.get("/jobs?limit=1").json()["items"]),
                what="the upload to begin",
            )
            second.append(other.post("/batch_predict", content=lines("good"), headers=NDJSON | key))
        yield lines("bad")

    assert upload(service, body(), NDJSON | key).status_code == 202
    assert (second[0].status_code, second[0].json()["code"]) == (409, "idempotency_in_progress")


def test_callbacks_are_off(service: Stack) -> None:
    """Without a secret to sign with, a callback_url is refused, wherever it is given, and no job is made."""
    before = service.metric("sentiment_jobs_total")
    url = "https://example.org/told"
    json_body = json.dumps({"texts": ["good"], "callback_url": url}).encode()
    for answer in (
        upload(service, json_body, {"Content-Type": "application/json"}),
        upload(service, b"good", CSV, f"?callback_url={url}"),
    ):
        assert answer.status_code == 422
    assert answer.json()["code"] in ("callback_refused", "unknown_column")
    assert service.metric("sentiment_jobs_total") == before
