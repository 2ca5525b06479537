"""Background loops of real processes: they survive errors, and a worker ends if one of them hangs or has ended."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest

from tests.support.keys import keys_without_end
from tests.support.stack import SLOW_STUB, Process, Stack
from tests.support.waiting import wait_until

MakeStack = Callable[..., Stack]
_BEGIN = """
import threading
from tasks import background
from tasks.store.presence import Presence
from tasks.work import watchdog
from tasks.work.leases import Leases
from tasks.work.watchdog import Watchdog
background.ROUND_LIMIT_S = 4
def hang():
    threading.Event().wait()
class Killed(BaseException):
    pass
def kill():
    raise Killed("a secret of mine")
def once(first, then):
    calls = []
    def step(*arguments):
        calls.append(1)
        return first() if len(calls) == 1 else then(*arguments)
    return step
def fail():
    raise ValueError("a secret of mine")
"""


def start_worker(stack: Stack, change: str) -> Process:
    """A batch worker with a visibility timeout of two seconds, in which a round of a loop may take four."""
    return stack.start_worker("batch", wait=False, visibility_s=2, change=_BEGIN + SLOW_STUB + change)


def test_slow_is_not_dead_though_a_renewal_failed(make_stack: MakeStack) -> None:
    """After any error leases are still renewed: a slow chunk stays with its worker while that lives."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    for _ in range(2):
        start_worker(stack, "Leases.renew = once(fail, Leases.renew)")
    for worker in stack.workers:
        stack.wait_for_worker(worker)
    assert stack.ended(stack.submit(["slow and good"]))["done"] == 1
    assert stack.texts_scored() == 1
    assert stack.metric("sentiment_redeliveries_total") == 0
    assert stack.metric("sentiment_background_errors_total", loop="leases", kind="defect") == 2
    for worker in stack.workers:
        told = [line for line in map(json.loads, worker.log.splitlines()) if "the loop leases failed" in line["event"]]
        assert [(line["level"], line["event"]) for line in told] == [("error", "the loop leases failed: ValueError")]
        assert "in fail" in told[0]["exception"]
        assert "secret" not in worker.log


def test_presence_is_told_though_it_failed(make_stack: MakeStack) -> None:
    """A worker that could not renew its worker mark, for whatever reason, renews it the next time."""
    stack = make_stack()
    stack.start_server()
    worker = start_worker(stack, "Presence.announce = once(fail, Presence.announce)")
    stack.wait_for_worker(worker)
    worker.terminate()
    assert "stopping: finishing the chunks that were begun" in worker.log
    assert not stack.redis.keys("sentiq:w:*")


_WITHOUT = {
    "Leases.renew = lambda self: hang()": "the loop leases has stood still for 5 s",
    "Leases.renew = lambda self: kill()": "the loop leases is gone",
    "Presence.announce = lambda *_: hang()": "the loop presence has stood still for 6 s",
    "import os; os.getppid = lambda: hang()": "the loop follow-parent has stood still for 4 s",
    "Watchdog._look = lambda self: hang()": "the loop watchdog has stood still for 5 s",
    "Watchdog._look = lambda self: kill()": "the loop watchdog is gone",
}
"""What is done to a worker, and what it says then."""


@pytest.fixture(scope="module")
def without_a_loop() -> Iterator[dict[str, Process]]:
    """A worker for each of `_WITHOUT`; they are started together, as most of their time is waiting."""
    stack = Stack()
    try:
        stack.start_server()
        yield {change: start_worker(stack, change) for change in _WITHOUT}
        assert not keys_without_end(stack.redis)
    finally:
        stack.close()


@pytest.mark.parametrize(("change", "said"), _WITHOUT.items())
def test_worker_without_one_of_its_loops_ends(without_a_loop: dict[str, Process], change: str, said: str) -> None:
    """A worker ends if one of its loops hangs or the loop's thread has ended, even if that is the watchdog's own loop,
    so that another worker takes over. Its log names the loop and where it stood still.
    """
    worker = without_a_loop[change]
    wait_until(lambda: not worker.running, what="the worker to end", timeout_s=60)
    assert worker.status == os.EX_SOFTWARE, worker.log
    last = json.loads(worker.log.splitlines()[-1])
    assert (last["level"], last["event"]) == (
        "critical",
        f"{said}: ending this worker, so that another one takes its chunks",
    )
    assert ("in hang" in last["exception"]) is ("hang()" in change)
    assert "secret" not in worker.log


def test_watchdog_outlives_every_error(make_stack: MakeStack) -> None:
    """The watchdog goes on after an error in one of its rounds."""
    stack = make_stack()
    stack.start_server()
    worker = start_worker(stack, "Watchdog._look = once(fail, Watchdog._look); Leases.renew = lambda self: hang()")
    wait_until(lambda: not worker.running, what="the worker to end", timeout_s=60)
    assert worker.status == os.EX_SOFTWARE, worker.log
    assert "the loop watchdog failed: ValueError" in worker.log
