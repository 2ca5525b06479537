"""Celery 5.7.0 and kombu 5.7.0 end a worker whose broker goes away while a chunk is unacknowledged;
`tasks.queue.kombu_guard` keeps it.

Without the guard it may also hang, with all its connections in order but one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.stack import Stack
from tests.support.waiting import wait_until

WITHOUT_GUARD = (
    "import tasks.queue.kombu_guard; tasks.queue.kombu_guard.install = lambda: None;"
    " from tasks.worker import main; main(['interactive'])"
)


def restart_the_broker_under_a_chunk(stack: Stack, text: str) -> httpx.Response:
    """Restarts the server while a caller's text is being scored and another chunk could be taken; returns the caller's
    answer.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stack.predict, text, prefer="wait=20")
        wait_until(lambda: stack.redis.zcard("unacked_index") > 0, what="a chunk under way")
        assert stack.server is not None
        stack.server.terminate()
        stack.start_server()
        return waiting.result()


def test_worker_survives_the_broker(make_stack: Callable[..., Stack]) -> None:
    """A worker with an unacknowledged chunk outlives a restart of the broker, and its caller gets the answer."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=1").start("interactive")
    assert restart_the_broker_under_a_chunk(stack, f"good {uuid.uuid4().hex}").status_code == 200
    assert stack.workers[0].running
    assert stack.predict(f"good {uuid.uuid4().hex}", prefer="wait=20").status_code == 200


def test_guard_is_still_needed(make_stack: Callable[..., Stack]) -> None:
    """Without the guard the same worker ends. When this fails, upstream is mended: delete `tasks/queue/kombu_guard.py`
    and this file.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=1").start()
    worker = stack.start_process("interactive", "-c", WITHOUT_GUARD)
    stack.workers.append(worker)
    stack.wait_for_worker(worker)
    restart_the_broker_under_a_chunk(stack, f"good {uuid.uuid4().hex}")
    wait_until(lambda: not worker.running, what="the worker without the guard to end")
    assert "hostname" in worker.log


@pytest.mark.parametrize("role", ["batch", "interactive"])
def test_idle_worker_survives_the_broker(make_stack: Callable[..., Stack], role: str) -> None:
    """A worker with nothing to do outlives a restart of the broker too, and takes chunks after it."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start(role)
    assert stack.server is not None
    stack.server.terminate()
    stack.start_server()
    if role == "batch":
        assert stack.ended(stack.submit(["good"]))["done"] == 1
    else:
        assert wait_until(lambda: stack.predict("good").status_code == 200, what="an answer")
    assert stack.workers[0].running


@pytest.mark.parametrize("role", ["batch", "interactive"])
def test_only_the_subscription_breaks(make_stack: Callable[..., Stack], role: str) -> None:
    """A worker whose subscription to remote control breaks, while the server can be reached at once, goes on taking
    chunks.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start(role)
    wait_until(lambda: stack.redis.client_list(_type="pubsub"), what="the subscription")
    stack.redis.client_kill_filter(_type="pubsub")
    wait_until(lambda: stack.redis.client_list(_type="pubsub"), what="the next subscription")
    if role == "batch":
        assert stack.ended(stack.submit(["good"]), timeout_s=20)["done"] == 1
    else:
        assert wait_until(lambda: stack.predict("good").status_code == 200, what="an answer")
    assert stack.workers[0].running
