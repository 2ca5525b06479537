"""What a caller can make the service keep, hold and send: bounded in bytes, and told with how to free it."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack
from tests.support.texts import new_text, new_texts
from tests.support.waiting import wait_until
from webapp.api.results import PAGE_BYTES

PLAIN = {"Content-Type": "text/plain"}
NDJSON = {"Content-Type": "application/x-ndjson"}
BLOCK = 100
"""Texts of the quota that a web process may have taken and not used."""
LONG = "\x01" * 100_000
"""A text that has six times as many bytes in JSON."""


def noise(texts: int) -> bytes:
    """Lines that do not compress, of 1,000 bytes each."""
    return b"".join(os.urandom(500).hex()[:999].encode() + b"\n" for _ in range(texts))


def sent(stack: Stack, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    """Uploads a file."""
    return stack.http.post("/batch_predict", content=content, headers=PLAIN | headers)


def peak_bytes(stack: Stack) -> int:
    """The most memory that a web process has had."""
    assert stack.web is not None
    pids = Path(f"/proc/{stack.web.pid}/task/{stack.web.pid}/children").read_text().split()
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return max(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def test_pages_of_results_are_bounded(make_stack: Callable[..., Stack]) -> None:
    """A few kilobytes that unpack to very long lines make no page of more than some megabytes, and no web process of
    hundreds of megabytes; whoever follows `next`, or takes the stream, gets each line.
    """
    stack = make_stack(WEB_CONCURRENCY=1).start("batch")
    before = peak_bytes(stack)
    raw = gzip.compress((LONG.encode() + b"\n") * 300)
    assert len(raw) < 40_000
    answer = sent(stack, raw, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 202, answer.text
    address: str | None = f"{answer.json()['links']['results']}?limit=5000"
    pages, lines = 0, 0
    while address is not None:
        response = stack.http.get(address)
        assert len(response.content) < PAGE_BYTES + 2_000_000
        page = response.json()
        assert [item["position"] for item in page["items"]] == list(range(lines, lines + len(page["items"])))
        pages, lines, address = pages + 1, lines + len(page["items"]), page["next"]
    assert (pages > 10, lines) == (True, 300)
    stream = stack.http.get(f"{answer.json()['links']['results']}?format=ndjson")
    assert stream.content.count(b"\n") == 300
    assert peak_bytes(stack) - before < 150_000_000


def test_a_header_is_bounded(service: Stack) -> None:
    """Names of columns that every line of the results would repeat are refused when they are long."""
    header = "text," + ",".join(f"{i}".ljust(20_000, "x") for i in range(40))
    raw = gzip.compress((header + "\n" + ("t" + "," * 40 + "\n") * 1000).encode())
    answer = service.http.post(
        "/batch_predict", content=raw, headers={"Content-Type": "text/csv", "Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.json()["code"], answer.json()["line"]) == (422, "header_too_long", 1)


def test_no_formulas_in_csv(service: Stack) -> None:
    """CSV results are safe to open in a spreadsheet, and as they were sent with ?raw=1."""
    raw = b'text,note,label\r\n"=1+1","-2",x\r\n"fine","@SUM(1)",y\r\n'
    answer = service.http.post("/batch_predict", content=raw, headers={"Content-Type": "text/csv"})
    job = service.ended(answer.json())

    def cells(query: str) -> list[list[str]]:
        page = service.http.get(f"{job['links']['results']}?format=csv{query}")
        return [row[:3] for row in csv.reader(io.StringIO(page.text, newline=""))]

    assert cells("") == [["text", "note", "label"], ["'=1+1", "'-2", "x"], ["fine", "'@SUM(1)", "y"]]
    assert cells("&raw=1") == [["text", "note", "label"], ["=1+1", "-2", "x"], ["fine", "@SUM(1)", "y"]]
    items = service.items(job)
    assert [(item["text"], item["columns"]["note"]) for item in items] == [("=1+1", "-2"), ("fine", "@SUM(1)")]


def test_storage_quota(make_stack: Callable[..., Stack]) -> None:
    """A caller's jobs keep so many bytes and no more: a further one is refused with what is used, leaves nothing, and
    fits when an ended one has been removed. Slow texts of /predict count too.
    """
    stack = make_stack(WEB_CONCURRENCY=2, STORAGE_QUOTA=300_000).start("interactive", "batch")
    jobs = []
    while (answer := sent(stack, noise(100))).status_code == 202:
        jobs.append(stack.ended(answer.json()))
    assert 1 < len(jobs) <= 3
    assert (answer.status_code, answer.json()["code"]) == (429, "storage_quota_exceeded")
    assert "of the 300000 bytes" in answer.json()["detail"]
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert len(stack.http.get("/jobs").json()["items"]) == len(jobs)
    gone = stack.http.delete(f"{jobs[0]['links']['self']}?purge=1")
    assert (gone.status_code, gone.content, gone.headers.get("Content-Type")) == (204, b"", None)
    assert stack.http.get(jobs[0]["links"]["self"]).status_code == 404
    assert stack.http.delete(f"{jobs[0]['links']['self']}?purge=1").status_code == 404
    again = sent(stack, noise(100))
    assert again.status_code == 202
    large = sent(stack, noise(1000))
    assert (large.status_code, large.json()["code"]) == (413, "job_too_large")
    stack.ended(again.json())

    def slow() -> int:
        return stack.http.post("/predict", json={"text": new_text()}, headers={"Prefer": "respond-async"}).status_code

    wait_until(lambda: slow() == 429, what="the quota to be used up", timeout_s=60)
    assert stack.predict("good").status_code == 200


def test_jobs_at_once(make_stack: Callable[..., Stack]) -> None:
    """A caller has so many unfinished jobs and no more; running ones are not removed, cancelled ones make room."""
    stack = make_stack(WEB_CONCURRENCY=2, MAX_JOBS=3)
    stack.start_server()
    stack.start_web()
    jobs = [sent(stack, noise(3)).json() for _ in range(3)]
    refused = sent(stack, noise(3))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    running = stack.http.delete(f"{jobs[0]['links']['self']}?purge=1")
    assert (running.status_code, running.json()["code"]) == (409, "job_not_ended")
    assert stack.http.delete(jobs[0]["links"]["self"]).status_code == 202
    assert stack.http.get(jobs[0]["links"]["self"]).json()["status"] == "cancelled"
    assert sent(stack, noise(3)).status_code == 202
    assert sent(stack, noise(3)).status_code == 429
    assert stack.http.delete(f"{jobs[1]['links']['self']}?purge=maybe").status_code == 422


def test_little_memory_and_none(make_stack: Callable[..., Stack]) -> None:
    """When the memory of Redis is nearly full, jobs are refused, and callers and running jobs go on. When it is full,
    known texts are answered, unknown ones are refused, and a running job ends once there is room again.
    """
    # Patient, as a slow text would become a job, which is refused.
    stack = make_stack(WEB_CONCURRENCY=1, PREDICT_TIMEOUT=20).start("interactive", "batch")
    redis = stack.redis
    for i in range(40):  # in parts: the buffer of a large one would count for a while too
        redis.set(f"ballast:{i}", b"x" * 1_000_000, ex=600)
    known = new_text()
    assert stack.predict(known).status_code == 200
    running = stack.submit(new_texts(600))

    def fill(share: float) -> None:
        redis.config_set("maxmemory", int(int(redis.info("memory")["used_memory"]) / share))

    def refused() -> bool:
        answer = sent(stack, noise(3))
        return bool(answer.status_code == 503 and answer.json()["code"] == "storage_full")

    fill(0.82)
    wait_until(refused, what="jobs to be refused", timeout_s=20)
    assert stack.predict(new_text()).status_code == 200
    assert stack.ended(running)["done"] == 600
    redis.config_set("maxmemory", 0)
    wait_until(lambda: not refused(), what="jobs to be accepted again", timeout_s=20)
    running = stack.submit(new_texts(1500))
    fill(1.2)
    wait_until(lambda: stack.predict(new_text()).status_code == 503, what="unknown texts to be refused", timeout_s=30)
    answer = stack.predict(new_text())
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_full")
    assert int(answer.headers["Retry-After"]) > 0
    assert refused()
    assert stack.predict(known).status_code == 200
    redis.config_set("maxmemory", 0)
    ended = stack.ended(running)
    assert (ended["status"], ended["done"], ended["failed"]) == ("succeeded", 1500, 0)
    assert stack.predict(new_text()).status_code == 200


# The daily quota


def broken_upload(stack: Stack, texts: list[str], read: Callable[[dict[str, Any]], None]) -> None:
    """Sends texts, calls `read` with the job while it is coming in, and then breaks the upload."""
    with httpx.Client(base_url=stack.http.base_url, trust_env=False, timeout=30) as other:

        def coming() -> dict[str, Any] | None:
            jobs = other.get("/jobs").json()["items"]
            return next((job for job in jobs if job["receiving"] and job["total"] >= len(texts)), None)

        def body() -> Iterator[bytes]:
            for text in texts:
                yield json.dumps({"text": text}).encode() + b" " * 100 + b"\n"
            yield b'"padding"' + b" " * 100_000 + b"\n"  # so that the web reads what came before
            found = wait_until(coming, what="the lines to be stored", timeout_s=20)
            read(found)
            yield b"broken\n"

        answer = stack.http.post("/batch_predict", content=body(), headers=NDJSON)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_line")


def counted(stack: Stack) -> int:
    """The texts of the caller that Redis has counted on this day."""
    keys = stack.redis.keys("sentiq:l:day:*")
    return int(stack.redis.hget(keys[0], "given")) if keys else 0


def test_what_was_read_is_not_given_back(make_stack: Callable[..., Stack]) -> None:
    """Lines of a broken upload that were answered while it came in count towards the quota, for they could be read."""
    stack = make_stack(WEB_CONCURRENCY=1, DAILY_QUOTA=5000).start("interactive", "batch")
    texts = [new_text() for _ in range(500)]

    def read(job: dict[str, Any]) -> None:
        def done() -> bool:
            items = stack_http.get(f"{job['links']['results']}?limit=500").json()["items"]
            return sum(1 for item in items if item["status"] == "done") >= 400

        with httpx.Client(base_url=stack.http.base_url, trust_env=False, timeout=30) as stack_http:
            wait_until(done, what="lines to be done", timeout_s=30)

    broken_upload(stack, texts, read)
    assert 400 <= counted(stack) <= 500 + BLOCK


def test_what_was_not_scored_is_given_back(make_stack: Callable[..., Stack]) -> None:
    """Without a worker, nothing of a broken upload was scored or could be read: all of it is given back."""
    stack = make_stack(WEB_CONCURRENCY=1, DAILY_QUOTA=5000)
    stack.start_server()
    stack.start_web()
    broken_upload(stack, [new_text() for _ in range(500)], lambda job: None)
    assert counted(stack) <= BLOCK


def test_a_batch_larger_than_the_rate(make_stack: Callable[..., Stack]) -> None:
    """A batch with more texts than RATE_LIMIT passes when nothing was sent before, and costs the whole limit."""
    stack = make_stack(WEB_CONCURRENCY=2, RATE_LIMIT="50/h").start("interactive")
    at_once = {"Prefer": "return=representation, wait=20"}
    texts = [f"good {uuid.uuid4().hex}" for _ in range(51)]
    answer = stack.http.post("/batch_predict", json={"texts": texts}, headers=at_once)
    assert (answer.status_code, answer.headers["RateLimit-Remaining"]) == (200, "0")
    assert stack.http.post("/batch_predict", json={"texts": texts}, headers=at_once).status_code == 429
    assert stack.predict("good").status_code == 429


@pytest.mark.parametrize("refused", [False, True])
def test_a_batch_that_becomes_a_job_is_counted_once(make_stack: Callable[..., Stack], refused: bool) -> None:
    """Texts of a batch that was to be answered at once are counted once, also if no job could be made of them, as they
    were sent to the workers.
    """
    stack = make_stack(WEB_CONCURRENCY=1, DAILY_QUOTA=1000, PREDICT_TIMEOUT=0.2, MAX_JOBS=1)
    stack.start_server()
    stack.start_web()
    if refused:
        stack.submit(["good"])
    answer = stack.http.post(
        "/batch_predict", json={"texts": new_texts(100)}, headers={"Prefer": "return=representation"}
    )
    assert answer.status_code == (429 if refused else 202)
    sent = 100 + refused  # and a part of a block at the most: of so small a quota, blocks have 50
    assert sent <= counted(stack) < sent + 50
