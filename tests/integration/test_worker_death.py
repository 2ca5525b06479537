"""Workers that die, crash or are slow: their chunks are taken over, and a text that kills workers fails alone."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

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


def begun(stack: Stack) -> bool:
    """Whether a worker has begun a chunk and not finished it."""
    return next(stack.redis.scan_iter("sentiq:a:*"), None) is not None


def test_killed_in_the_middle_of_a_chunk(make_stack: Callable[..., Stack]) -> None:
    """A chunk whose worker is killed is taken over by another within seconds; the job ends complete, and each line
    counts once.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    texts = new_texts(60)
    job = stack.submit(texts)
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    stack.workers[0].kill()
    stack.start_worker("batch")
    job = stack.ended(job, timeout_s=20)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", 60, 0)
    assert [item["text"] for item in stack.items(job)] == texts


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


def test_caller_survives_a_killed_worker(make_stack: Callable[..., Stack]) -> None:
    """If the worker with a caller's text is killed, the caller gets the answer from another worker."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=1").start()
    stack.start_worker("interactive", visibility_s=2)
    (text,) = new_texts(1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(stack.predict, text, prefer="wait=40")
        wait_until(lambda: begun(stack), what="the worker to begin the chunk")
        stack.workers[0].kill()
        stack.start_worker("interactive", visibility_s=2)
        answer = waiting.result()
    assert answer.status_code == 200
    assert answer.json()["text"] == text


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


def test_terminated_worker_ends_its_chunk(make_stack: Callable[..., Stack]) -> None:
    """On SIGTERM a worker finishes the chunk that it has begun and then ends; chunks that it has not begun go to
    another.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    job = stack.submit(new_texts(60))
    wait_until(lambda: begun(stack), what="the worker to begin a chunk")
    worker = stack.workers[0]
    worker.terminate()
    assert worker.status == 0
    done = stack.http.get(job["links"]["self"]).json()["done"]
    assert done > 0
    assert stack.redis.zcard("unacked_index") == 0
    stack.start_worker("batch")
    assert stack.ended(job)["done"] == 60
    assert stack.texts_scored() == 60


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


def test_worker_refuses_to_start(make_stack: Callable[..., Stack]) -> None:
    """With a model that does not exist, or an invalid setting or role, a worker prints one line that says so and exits
    with a status other than 0.
    """
    stack = make_stack(model="stub?colour=red")
    cases = {
        ("-m", "tasks.worker", "batch"): "colour",
        ("-m", "tasks.worker", "nobody"): "usage: python -m tasks.worker interactive|batch",
        ("-m", "tasks.worker"): "usage: python -m tasks.worker interactive|batch",
    }
    processes = {stack.start_process("worker", *arguments): said for arguments, said in cases.items()}
    stack.environment["BATCH_SIZE"] = "many"
    processes[stack.start_process("worker", "-m", "tasks.worker", "batch")] = "BATCH_SIZE"
    for process, said in processes.items():
        wait_until(lambda process=process: not process.running, what="the worker to give up")  # type: ignore[misc]
        assert process.status != 0
        assert said in process.log
        assert "Traceback" not in process.log
