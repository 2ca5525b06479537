"""Workers that die at a bad moment, are slow or are stopped, and messages that the broker loses: every line is answered
once. See also `tests/integration/test_worker_death.py`.
"""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable

import pytest

from tasks.queue.queues import list_names, queue_name
from tests.integration.test_worker_death import begun
from tests.support.stack import SLOW_STUB, Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until

_DIES_LOOKING = """
import os, signal
from kombu.transport.redis import Mutex, MutexHeld
from tasks.queue.app import create_celery
from tasks.settings import load_settings

with create_celery(load_settings()).connection_for_read() as connection:
    channel = connection.default_channel
    while True:
        try:
            with channel.conn_or_acquire() as client, \
Mutex(client, channel.unacked_mutex_key, channel.unacked_mutex_expire):
                os.kill(os.getpid(), signal.SIGKILL)
        except MutexHeld:
            pass
"""


def test_killed_while_it_looks_for_the_deliveries_of_the_dead(make_stack: Callable[..., Stack]) -> None:
    """If a worker dies while it holds the lock for redelivering chunks of dead workers, the others are held up only for
    a moment.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    texts = new_texts(60)
    job = stack.submit(texts)
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    looking = stack.start_process("looking", "-c", _DIES_LOOKING)
    wait_until(lambda: not looking.running, what="the one who looks to die")
    assert looking.status == -signal.SIGKILL
    stack.workers[0].kill()
    stack.start_worker("batch")
    job = stack.ended(job, timeout_s=30)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 60, 0)


def test_text_that_kills_its_worker(make_stack: Callable[..., Stack]) -> None:
    """A text that ends the process of every worker that scores it fails alone; all others in its chunk are answered."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?exit_on=crash").start()
    stack.start_worker("batch", visibility_s=2)
    texts = new_texts(20)
    texts[11] = f"crash {uuid.uuid4().hex}"
    job = stack.submit(texts)
    deaths = 0

    def over() -> bool:
        nonlocal deaths
        if not stack.workers[-1].running:
            deaths += 1
            # It may score the text before it has announced that it is ready.
            stack.start_worker("batch", visibility_s=2, wait=False)
        return bool(stack.http.get(job["links"]["self"]).json()["status"] == "succeeded")

    wait_until(over, what="the job to end", timeout_s=90)
    # Once with the whole chunk, and alone as often as SUSPECT_LIMIT allows.
    assert deaths == 3
    items = stack.items(job)
    assert [item["position"] for item in items if item["status"] == "failed"] == [11]
    assert items[11]["error"]["code"] == "text_failed"
    ended = stack.ended(job)
    assert (ended["done"], ended["failed"]) == (20, 1)
    wait_until(lambda: not begun(stack), what="the chunk's attempts to be forgotten")


def test_slow_is_not_dead(make_stack: Callable[..., Stack]) -> None:
    """A chunk that takes longer than the visibility timeout is not given to another worker while its own lives."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    for _ in range(2):
        stack.start_worker("batch", visibility_s=2, change=SLOW_STUB)
    job = stack.ended(stack.submit(["slow and good"]))
    assert job["done"] == 1
    assert stack.texts_scored() == 1
    assert not any("one by one" in worker.log for worker in stack.workers)


def test_told_to_end_while_redis_is_away(make_stack: Callable[..., Stack]) -> None:
    """A worker that is told to end while Redis is away no longer waits for it; another one does its chunk."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    assert stack.server is not None
    job = stack.submit(new_texts(60))
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    stack.server.kill()
    worker = stack.workers[0]
    wait_until(lambda: "Redis away; trying again" in worker.log, what="the worker to wait for Redis")
    worker.terminate()
    stack.start_server()
    stack.start_worker("batch")
    assert stack.ended(job)["done"] == 60


def test_a_stopped_worker_stops_nobody(make_stack: Callable[..., Stack]) -> None:
    """A worker whose process is paused loses its chunk to another; when it goes on, nothing is counted twice."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start()
    stack.start_worker("batch", visibility_s=2)
    job = stack.submit(new_texts(60))
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    stack.workers[0].signal(signal.SIGSTOP)
    stack.start_worker("batch", visibility_s=2)
    job = stack.ended(job)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 60, 0)
    stack.workers[0].signal(signal.SIGCONT)
    assert stack.ended(stack.submit(new_texts(30)))["done"] == 30
    assert stack.http.get(job["links"]["self"]).json() == job


@pytest.mark.parametrize("variables", [{}, {"ANALYSIS": "tests.support.analyses:SPAM"}], ids=["sentiment", "spam"])
def test_lost_message_is_soon_sent_again(make_stack: Callable[..., Stack], variables: dict[str, str]) -> None:
    """A worker looks for lost chunks of its analysis while it works: a job that has lost one of its lanes gets it back
    long before the job is done.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.005", **variables).start("batch")
    job = stack.submit(new_texts(2500))
    lists = list_names(queue_name("batch", stack.default_model))
    lost = wait_until(
        lambda: next((m for name in lists for m in stack.redis.lrange(name, 0, 0)), None), what="a message"
    )
    assert any(stack.redis.lrem(name, 1, lost) for name in lists)
    wait_until(lambda: "sending it again" in stack.workers[0].log, what="the chunk to be sent again")
    assert stack.http.get(job["links"]["self"]).json()["done"] < 2500
    assert stack.ended(job)["done"] == 2500
