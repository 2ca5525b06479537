"""`tasks.queue.patches.closed_connection`; `test_broker_loss` tests that a worker with it survives its broker."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.integration.test_broker_loss import restart_the_broker_under_a_chunk
from tests.support.patches import mended
from tests.support.stack import Stack
from tests.support.waiting import wait_until

_WITHOUT = """
from tasks.queue.patches import closed_connection
closed_connection.install = lambda: None
from tasks.worker import main
main(["interactive"])
"""


def test_library_ends_the_worker(make_stack: Callable[..., Stack]) -> None:
    """Without the patch, a worker with an unacknowledged chunk ends when the broker is restarted."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=1").start()
    worker = stack.start_process("interactive", "-c", _WITHOUT)
    stack.workers.append(worker)
    stack.wait_for_worker(worker)
    answer = restart_the_broker_under_a_chunk(stack, f"good {uuid.uuid4().hex}")

    def over() -> bool:
        """Whether the worker has ended, or has answered and takes chunks as before."""
        if not worker.running:
            return True
        return answer.status_code == 200 and stack.predict(f"good {uuid.uuid4().hex}").status_code == 200

    wait_until(over, what="the worker to end, or to go on")
    if worker.running:
        mended(
            "Celery or kombu",
            "tasks/queue/patches/closed_connection.py",
            "its import and its call in tasks/queue/patches/__init__.py",
        )
    assert "'NoneType' object has no attribute 'hostname'" in worker.log
