"""The logs of real processes: each line is JSON, ids lead from one process to the other, and no line has a caller's
text.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.launched import Launched
from tests.support.messages import message
from tests.support.stack import Process, Stack
from tests.support.waiting import wait_until

Line = dict[str, Any]


def lines(process: Process | None) -> list[Line]:
    """What a process has logged; fails if it has written anything but JSON objects."""
    assert process is not None
    return [json.loads(line) for line in process.log.splitlines(keepends=True) if line.endswith("\n")]


def found(process: Process | None, what: str, **fields: Any) -> Line:
    """Waits for a line with these fields, and returns the first."""

    def look() -> Line | None:
        return next((line for line in lines(process) if fields.items() <= line.items()), None)

    return wait_until(look, what=what)


def test_every_line_of_every_process(service: Stack) -> None:
    """Each line that the processes have written is a JSON object with time, level, role, process, logger and event."""
    service.predict(f"poison {uuid.uuid4().hex}")
    for worker in service.workers:
        ready = found(worker, "the worker's first line", logger="tasks.worker", level="info", pid=worker.pid)
        assert ready["event"].startswith("ready: stub@1/stub on cpu")
    assert service.web is not None
    for process in (service.web, *service.workers):
        for line in lines(process):
            assert {"time", "level", "role", "pid", "logger", "event"} <= line.keys(), line
            assert (line["role"], line["time"][-1]) == (process.name, "Z")


def test_last_lines_of_a_worker(make_stack: Callable[..., Stack]) -> None:
    """A worker that is told to end says so in its log, and writes nothing past it."""
    stack = make_stack(model="stub")
    stack.start_server()
    worker = stack.start_worker("interactive")
    worker.terminate()
    assert "stopping: finishing the chunks that were begun" in [line["event"] for line in lines(worker)]


def test_launcher_for_machines(launch: Callable[..., Launched]) -> None:
    """With LOG_FORMAT=json everything that the launcher prints is JSON: its own lines, its children's, and the
    server's.
    """
    sentiq = launch(LOG_FORMAT="json").wait_until_ready()
    sentiq.stop()
    told = [json.loads(line) for line in sentiq.lines]
    # The web had nothing to log.
    assert {line["role"] for line in told} == {"launcher", "server", "interactive", "batch"}
    assert all({"time", "level", "role", "event"} <= line.keys() for line in told)
    # Nothing was printed without their loggers.
    assert all("logger" in line for line in told if line["role"] in ("interactive", "batch"))
    assert told[-1]["event"] == "stopped"


def test_from_request_to_worker(service: Stack) -> None:
    """When a text cannot be scored, the worker's line about it names chunk and request, and the web has a line for the
    request.
    """
    given = f"caller-{uuid.uuid4().hex}"
    answer = service.http.post("/predict", json={"text": f"poison {given}"}, headers={"X-Request-ID": given})
    assert answer.status_code == 422
    web = found(service.web, "the web's line", request_id=given)
    assert (web["event"], web["path"], web["status"], web["role"]) == ("answered", "/predict", 422, "web")
    worker = found(service.workers[0], "the worker's line", request_ids=[given])
    assert worker["chunk_id"]
    assert "job_id" not in worker
    assert "a text of" in worker["event"]
    assert worker["exception"].splitlines()[-1] == "ValueError"


def test_from_request_to_job_to_worker(service: Stack) -> None:
    """A job's id is in the line of the request that created it, and, with the ids of chunk and request, in the workers'
    lines.
    """
    given = f"caller-{uuid.uuid4().hex}"
    texts = [f"fine {uuid.uuid4().hex}" for _ in range(1500)]
    texts[-1] += " poison"
    answer = service.http.post("/batch_predict", json={"texts": texts}, headers={"X-Request-ID": given})
    job = service.ended(answer.json())
    assert job["failed"] == 1
    assert found(service.web, "the web's line", request_id=given)["job_id"] == job["id"]
    worker = found(service.workers[1], "the worker's line", job_id=job["id"])
    assert worker["request_ids"] == [given]
    job_id, number = worker["chunk_id"].split(".")
    assert job_id == job["id"]
    assert int(number) >= 4  # one that a worker has sent


def test_no_lines_for_what_went_well(service: Stack) -> None:
    """An answer that was given at once gets no line, and neither do probes and scrapes; they are in the metrics."""
    text = f"good {uuid.uuid4().hex}"
    for _ in range(3):
        answer = service.http.post(
            "/predict", json={"text": text}, headers={"X-Request-ID": (given := uuid.uuid4().hex)}
        )
        assert answer.status_code == 200
    service.http.get("/health", headers={"X-Request-ID": given})
    service.http.get("/metrics", headers={"X-Request-ID": given})
    mark = uuid.uuid4().hex
    service.http.get("/nowhere", headers={"X-Request-ID": mark})
    found(service.web, "a later request's line", request_id=mark)
    assert service.web is not None
    assert given not in service.web.log


def test_access_log(make_stack: Callable[..., Stack]) -> None:
    """With ACCESS_LOG each request gets one line, cached texts too; probes and scrapes still get none."""
    stack = make_stack(ACCESS_LOG="true", WEB_CONCURRENCY=1).start("interactive")
    ids = [f"caller-{number}" for number in range(3)]
    for given in ids:
        assert stack.http.post("/predict", json={"text": "good"}, headers={"X-Request-ID": given}).status_code == 200
    stack.http.get("/health", headers={"X-Request-ID": "probe"})
    stack.http.get("/model", headers={"X-Request-ID": "last"})
    found(stack.web, "the last request's line", request_id="last")
    told = [line for line in lines(stack.web) if line["event"] == "answered"]
    assert [line["request_id"] for line in told] == [*ids, "last"]
    assert {(line["method"], line["path"], line["status"]) for line in told[:-1]} == {("POST", "/predict", 200)}
    assert all(line["ms"] > 0 for line in told)


def test_slow_requests(make_stack: Callable[..., Stack]) -> None:
    """A successful request that took longer than a second gets a line with its whole time, unless its caller asked to
    wait.
    """
    stack = make_stack(model="stub?delay_s=1.2", PREDICT_TIMEOUT=20, WEB_CONCURRENCY=1).start("interactive")
    for given, text, headers in (("slow", "a", {}), ("patient", "b", {"Prefer": "wait=20"}), ("known", "a", {})):
        answer = stack.http.post("/predict", json={"text": text}, headers={"X-Request-ID": given} | headers)
        assert answer.status_code == 200
    late = stack.http.post("/predict", json={"text": "c"}, headers={"X-Request-ID": "late", "Prefer": "wait=1"})
    assert late.status_code == 202
    job = found(stack.web, "the line of the request that became a job", request_id="late")
    assert job["job_id"] == late.json()["id"]
    told = {line["request_id"]: line for line in lines(stack.web) if line["event"] == "answered"}
    assert set(told) == {"slow", "late"}
    assert told["slow"]["ms"] >= 1200


def test_time_of_a_request_that_waited_in_vain(make_stack: Callable[..., Stack]) -> None:
    """A request that became a job after PREDICT_TIMEOUT gets a line with its whole time, including the wait."""
    stack = make_stack(PREDICT_TIMEOUT=0.5, WEB_CONCURRENCY=1)
    stack.start_server()
    stack.start_web()
    assert stack.http.post("/predict", json={"text": "good"}, headers={"X-Request-ID": "late"}).status_code == 202
    assert found(stack.web, "its line", request_id="late", event="answered")["ms"] >= 500


def test_gunicorns_own_lines(make_stack: Callable[..., Stack]) -> None:
    """Gunicorn's own lines, in its master and its workers, are JSON too: here that a worker was killed."""
    stack = make_stack(WEB_CONCURRENCY=1)
    stack.start_server()
    web = stack.start_web()
    children = Path(f"/proc/{web.pid}/task/{web.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)
    line = found(web, "the master's line", logger="gunicorn.error", level="error", role="web")
    assert line["pid"] == web.pid


def test_uncaught_errors_of_the_web(make_stack: Callable[..., Stack]) -> None:
    """An error that ends a thread, a greenlet or a callback of the event loop of a web process is logged without the
    text that it quotes.
    """
    stack = make_stack(WEB_CONCURRENCY=1)
    stack.web = web = stack.start_process(
        "web", "-m", "gunicorn", "-c", "webapp/server/gunicorn_conf.py", "tests.support.uncaught:app"
    )
    secret = f"secret{uuid.uuid4().hex}"
    answer = wait_until(lambda: _posted(stack, secret), what="Gunicorn to answer", timeout_s=60)
    assert answer == "done"
    for where in ("thread replies", "a Greenlet", "a callback"):
        line = found(web, f"the line of {where}", level="error", event=f"uncaught ValueError in {where}")
        assert "in _fail" in line["exception"]
    assert secret not in web.log


def _posted(stack: Stack, text: str) -> str | None:
    try:
        return stack.http.post("/", content=text).text
    except httpx.ConnectError:
        return None


@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_text_in_any_log(make_stack: Callable[..., Stack], level: str) -> None:
    """However a text fails, no process logs any of it, at any level: scored alone, in a job, in a message that cannot
    be read or has no recipient, in a refused request, or while Redis goes away.
    """
    stack = make_stack(WEB_CONCURRENCY=1, LOG_LEVEL=level).start("interactive", "batch")
    secret = f"secret{uuid.uuid4().hex}"
    assert stack.predict(f"poison {secret}").status_code == 422
    assert stack.ended(stack.submit([f"poison {secret} {i}" for i in range(5)]))["failed"] == 5
    for body in (f'{{"text": "{secret}"', f'{{"text": ["{secret}"]}}', f'{{"{secret}": 1}}'):
        assert stack.http.post("/predict", content=body, headers={"Content-Type": "application/json"}).status_code in (
            400,
            422,
        )
    stack.http.post(
        "/batch_predict?column=text",
        content=f"text\n{secret}\n\xff\n".encode("latin-1"),
        headers={"Content-Type": "text/csv"},
    )
    chunk = json.dumps([[{"tag": "stub", "texts": [secret]}], {}, {}]).encode()
    queued = [
        message("score", b"\xff" + chunk),
        message("score", chunk[:-5]),
        message("another", chunk),
        message("score", chunk, content_type="application/x-python-serialize"),
        message("score", json.dumps([[secret], {}, {}]).encode()),
        message("score", json.dumps([[{secret: secret, "tag": secret, "texts": secret}], {}, {}]).encode()),
    ]
    stack.redis.lpush("interactive", *queued)
    wait_until(lambda: stack.redis.llen("interactive") == 0, what="the messages to be taken")
    assert stack.predict("good").status_code == 200
    key = next(iter(stack.redis.scan_iter("sentiq:p:*")))
    stack.redis.delete(key)
    stack.redis.lpush(key, "of another type")  # so that Redis itself complains
    stack.redis.expire(key, 100)
    stack.predict(f"more {secret}")
    assert stack.server is not None
    stack.server.kill()
    assert stack.predict(f"late {secret}").status_code == 503
    complained = stack.workers[0]
    wait_until(lambda: complained.log.count('"level": "error"') > 4, what="the worker to complain")
    for process in (stack.web, *stack.workers):
        assert process is not None
        assert secret not in process.log, next(line for line in process.log.splitlines() if secret in line)[:2000]
        lines(process)
