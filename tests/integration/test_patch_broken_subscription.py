"""`tasks.queue.patches.broken_subscription`; that a worker goes on with it is in `test_broker_loss`."""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.support.patches import mended
from tests.support.stack import Stack
from tests.support.waiting import wait_until

_WITHOUT = """
from tasks.queue.patches import broken_subscription
broken_subscription.install = lambda: None
from tasks.work import watchdog
watchdog.LOOP_LIMIT_S = 4
from tasks.worker import main
main(["interactive"])
"""


def test_library_hangs(make_stack: Callable[..., Stack]) -> None:
    """Without the patch, a worker whose subscription to remote control breaks takes no more chunks until its watchdog
    ends it.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    worker = stack.start_process("interactive", "-c", _WITHOUT)
    stack.workers.append(worker)
    stack.wait_for_worker(worker)
    wait_until(lambda: stack.redis.client_list(_type="pubsub"), what="the subscription")
    stack.redis.client_kill_filter(_type="pubsub")
    wait_until(
        lambda: not worker.running or stack.predict("good").status_code == 200, what="the worker to end, or to answer"
    )
    if worker.running:
        mended(
            "kombu or redis-py",
            "tasks/queue/patches/broken_subscription.py",
            "its import and its call in tasks/queue/patches/__init__.py",
        )
    assert worker.status == os.EX_SOFTWARE
    assert "in _receive_one" in worker.log
