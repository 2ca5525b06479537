"""Workers whose broker goes away, as a whole or in part, neither end nor hang, thanks to `tasks.queue.patches`."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.stack import Stack
from tests.support.waiting import wait_until


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
    """A worker with an unacknowledged chunk survives a restart of the broker, and its caller gets the answer."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=1").start("interactive")
    assert restart_the_broker_under_a_chunk(stack, f"good {uuid.uuid4().hex}").status_code == 200
    assert stack.workers[0].running
    assert stack.predict(f"good {uuid.uuid4().hex}", prefer="wait=20").status_code == 200


@pytest.mark.parametrize("role", ["batch", "interactive"])
def test_idle_worker_survives_the_broker(make_stack: Callable[..., Stack], role: str) -> None:
    """An idle worker survives a restart of the broker too, and takes chunks afterwards."""
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
    """If a worker's subscription to remote control breaks while the server stays reachable, the worker goes on taking
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
