"""Workers in which something hangs end by themselves, and nothing is lost."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable

from tasks.queue.app import create_celery
from tests.integration.test_worker_death import begun
from tests.support.stack import Process, Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until

_HANGS = """
import threading, time
import celeryconfig
from celery.worker.control import control_command
from model.engines.stub import StubEngine
from tasks.work import watchdog
celeryconfig.VISIBILITY_TIMEOUT_S = celeryconfig.broker_transport_options["visibility_timeout"] = 2
watchdog.CALL_LIMIT_S, watchdog.LOOP_LIMIT_S = {call_s}, {loop_s}
score = StubEngine.score
def hangs(self, texts):
    if any("hang" in text for text in texts):
        threading.Event().wait()
    if any("slow" in text for text in texts):
        for _ in range(20):
            time.sleep(0.1)
    return score(self, texts)
StubEngine.score = hangs
@control_command()
def stand_still(state):
    threading.Event().wait()
from tasks.worker import main
main(["{role}"])
"""


def start_worker(stack: Stack, role: str, *, call_s: float = 60, loop_s: float = 60, wait: bool = True) -> Process:
    """A worker whose engine hangs on a text with `hang` in it, and whose thread that takes chunks hangs when told so by
    remote control.
    """
    worker = stack.start_process(role, "-c", _HANGS.format(role=role, call_s=call_s, loop_s=loop_s))
    stack.workers.append(worker)
    if wait:
        stack.wait_for_worker(worker)
    return worker


def test_text_that_hangs_the_engine(make_stack: Callable[..., Stack]) -> None:
    """A text on which the engine hangs fails alone after several workers have ended because of it; the others are
    scored.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    start_worker(stack, "batch", call_s=1)
    texts = new_texts(20)
    texts[7] = f"hang {uuid.uuid4().hex}"
    job = stack.submit(texts)
    statuses = []

    def over() -> bool:
        if (status := stack.workers[-1].status) is not None:
            statuses.append(status)
            start_worker(stack, "batch", call_s=1, wait=False)
        return bool(stack.http.get(job["links"]["self"]).json()["status"] == "succeeded")

    wait_until(over, what="the job to end", timeout_s=90)
    assert statuses == [os.EX_SOFTWARE] * 3
    log = stack.workers[0].log
    assert "a call of the engine has stood still" in log
    assert "in hangs" in log, "where it stands is not told"
    assert texts[7] not in log
    assert [item["position"] for item in stack.items(job) if item["status"] == "failed"] == [7]


def test_callers_beside_a_text_that_hangs(make_stack: Callable[..., Stack]) -> None:
    """An interactive worker whose engine hangs ends, and callers who come after are answered by the next."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub", PREDICT_TIMEOUT=0.2).start()
    worker = start_worker(stack, "interactive", call_s=1)
    assert stack.predict(f"hang {uuid.uuid4().hex}").status_code == 202
    wait_until(lambda: not worker.running, what="the worker to end")
    start_worker(stack, "interactive", wait=False)
    answer = stack.predict(*new_texts(1), prefer="wait=40")
    assert (answer.status_code, answer.json()["label"]) == (200, "POSITIVE")


def test_thread_that_takes_chunks_hangs(make_stack: Callable[..., Stack]) -> None:
    """A worker that no longer takes chunks ends, even if it still renews its worker mark, and its job goes on with the
    next worker.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.004").start()
    worker = start_worker(stack, "batch", loop_s=2)
    with create_celery(stack.settings()) as app:
        # It may announce that it is ready a moment before it listens to remote control.
        wait_until(lambda: app.control.ping(timeout=1), what="the worker's answer to remote control")
        app.control.broadcast("stand_still")
        job = stack.submit(new_texts(40))
        wait_until(lambda: not worker.running, what="the worker to end")
    assert worker.status == os.EX_SOFTWARE
    assert "the thread that takes chunks has stood still" in worker.log
    assert "in stand_still" in worker.log
    start_worker(stack, "batch", loop_s=2)
    assert stack.ended(job)["done"] == 40


def test_waiting_for_redis_is_no_hang(make_stack: Callable[..., Stack]) -> None:
    """A worker does not end while it waits for an absent Redis, even longer than its thread may stand still, and works
    on afterwards.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.1").start()
    worker = start_worker(stack, "batch", loop_s=4)  # a second is soon over on a busy machine
    assert stack.server is not None
    stack.server.terminate()
    # The mark is renewed every REFRESH_S, 2 s, and the 1st, 2nd and 4th failure are told.
    wait_until(
        lambda: worker.log.count("the loop presence failed") >= 3, what="the worker to have missed Redis for a while"
    )
    stack.start_server()
    assert stack.ended(stack.submit(new_texts(40)))["done"] == 40  # takes at least 4 s
    assert worker.running


def test_a_stopped_process_is_no_hang(make_stack: Callable[..., Stack]) -> None:
    """A worker whose process was paused in a call, for longer than the call may take, finishes the call when it goes
    on.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    worker = start_worker(stack, "batch", call_s=5)
    job = stack.submit([f"slow and good {uuid.uuid4().hex}"])
    wait_until(lambda: begun(stack), what="the worker to begin the chunk")
    worker.signal(signal.SIGSTOP)
    wait_until(lambda: next(stack.redis.scan_iter("sentiq:w:*"), None) is None, what="its mark to expire, after 10 s")
    worker.signal(signal.SIGCONT)
    assert stack.ended(job)["done"] == 1
    assert worker.running
