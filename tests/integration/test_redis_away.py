"""Redis is away: callers are told within a second, and when it is back the service recovers by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.keys import keys_without_end
from tests.support.stack import Stack
from tests.support.texts import new_text
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def _stack() -> Iterator[Stack]:
    stack = Stack().start("interactive", "batch")
    yield stack
    stack.close()


@pytest.fixture
def stack(_stack: Stack) -> Iterator[Stack]:
    """A service whose Redis server may be stopped or paused by a test; it is running again afterwards. A key that is
    left without a TTL fails the test.
    """
    assert _stack.server is not None
    yield _stack
    if not _stack.server.running:
        _stack.start_server()
    _stack.server.signal(signal.SIGCONT)
    wait_until(lambda: _stack.predict(new_text()).status_code == 200, what="the service to answer again")
    leaked = keys_without_end(_stack.redis)
    assert not leaked, f"keys without a TTL: {leaked}"


def stop(stack: Stack) -> None:
    """Stops the server properly."""
    assert stack.server is not None
    stack.server.terminate()


def crash(stack: Stack) -> None:
    """Kills the server."""
    assert stack.server is not None
    stack.server.kill()


def pause(stack: Stack) -> None:
    """Pauses the server: connections stay open and nothing is answered, as on a machine that hangs."""
    assert stack.server is not None
    stack.server.signal(signal.SIGSTOP)


@pytest.mark.parametrize("leave", [stop, crash, pause])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/predict", {"text": "x"}), ("/batch_predict", {"texts": ["x"]}), ("/jobs/" + "0" * 32, None)],
    ids=["predict", "batch", "job"],
)
def test_told_within_a_second(
    stack: Stack, leave: Callable[[Stack], None], path: str, body: dict[str, object] | None
) -> None:
    """Without Redis every caller gets 503 with the time to come back, within a second, the first caller too."""
    for _ in range(4):  # so that each web process has a connection and knows the workers
        assert stack.predict(new_text()).status_code == 200
    leave(stack)
    for _ in range(3):
        body = body and ({"text": new_text()} if "text" in body else {"texts": [new_text()]})
        started = time.monotonic()
        answer = stack.http.request("POST" if body else "GET", path, json=body)
        took_s = time.monotonic() - started
        assert answer.status_code == 503
        assert answer.json()["code"] == "service_unavailable"
        assert int(answer.headers["Retry-After"]) >= 1
        assert took_s < 1.0


@pytest.mark.parametrize("leave", [stop, crash, pause])
def test_many_callers_are_told(stack: Stack, leave: Callable[[Stack], None]) -> None:
    """Of forty callers at once each is told within a second too: none waits for another's attempt."""
    leave(stack)

    def call(_: int) -> tuple[int, float]:
        started = time.monotonic()
        status = stack.predict(new_text()).status_code
        return status, time.monotonic() - started

    stack.predict(new_text())  # sets the client up before its threads share it
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(call, range(40)))
    assert {status for status, _ in answers} == {503}
    # The second is promised to a single caller; forty share two processors with their client.
    assert max(took_s for _, took_s in answers) < 1.5


def test_alive_and_documented_without_redis(stack: Stack) -> None:
    """What needs no Redis is answered without it: liveness, metrics, documentation, refusals."""
    stop(stack)
    for path in ("/health/live", "/metrics", "/docs", "/openapi.json"):
        assert stack.http.get(path).status_code == 200
    assert stack.predict("").status_code == 422


@pytest.mark.parametrize("leave", [stop, crash, pause])
def test_comes_back_by_itself(stack: Stack, leave: Callable[[Stack], None]) -> None:
    """When the server is back, unknown texts, cached texts and jobs are answered again without restarting anything."""
    known = new_text()
    scores = stack.predict(known).json()["scores"]
    leave(stack)
    assert stack.predict(new_text()).status_code == 503
    assert stack.server is not None
    if stack.server.running:
        stack.server.signal(signal.SIGCONT)
    else:
        stack.start_server()
    answer = wait_until(
        lambda: next((a for a in [stack.predict(new_text())] if a.status_code == 200), None),
        what="an unknown text's answer",
    )
    assert not answer.json()["cached"]
    again = stack.predict(known).json()
    assert (again["cached"], again["scores"]) == (True, scores)
    assert stack.ended(stack.submit([new_text() for _ in range(20)]))["done"] == 20
    assert all(worker.running for worker in stack.workers)


@pytest.mark.parametrize("leave", [stop, crash])
def test_job_outlives_a_restart(stack: Stack, leave: Callable[[Stack], None]) -> None:
    """A job that is under way when the server stops ends complete after it is back: every line is answered, and counted
    once.
    """
    texts = [new_text() for _ in range(1500)]
    job = stack.submit(texts)
    wait_until(lambda: stack.http.get(job["links"]["self"]).json()["done"] > 0, what="the job's first chunk")
    leave(stack)
    stack.start_server()
    job = stack.ended(job)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 1500, 0)
    assert [item["text"] for item in stack.items(job)] == texts


def test_restarts_in_a_row(stack: Stack) -> None:
    """A job and callers survive several restarts of the server, and all processes go on."""
    job = stack.submit([new_text() for _ in range(1500)])
    for leave in (stop, crash, stop):
        wait_until(lambda: stack.predict(new_text()).status_code == 200, what="a caller's answer")
        leave(stack)
        stack.start_server()
    assert stack.ended(job)["done"] == 1500
    assert all(worker.running for worker in stack.workers)
    wait_until(lambda: stack.predict(new_text()).status_code == 200, what="a caller's answer")
