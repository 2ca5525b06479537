"""The patch `tasks.queue.patches.full_server`."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.support.disks import fill, small_disk
from tests.support.patches import mended
from tests.support.stack import Stack
from tests.support.waiting import wait_until

_WITHOUT = """
from tasks.queue.patches import full_server
full_server.install = lambda: None
from tasks.worker import main
main(["interactive"])
"""


@contextmanager
def full(stack: Stack) -> Iterator[None]:
    """The disk of the stack's server is full, and the server has noticed it."""
    filler = stack.folder / "valkey" / "filler"
    with suppress(OSError):
        fill(filler)

    def refuses() -> bool:
        with suppress(Exception):
            stack.redis.set("x", "x" * 10_000, ex=1)
            return False
        return bool(stack.redis.info("persistence")["aof_last_write_status"] == "err")

    wait_until(refuses, what="the server to refuse to store")
    try:
        yield
    finally:
        filler.unlink()


def test_library_ends_the_worker(make_stack: Callable[..., Stack]) -> None:
    """Without the patch, a worker ends when its broker can store nothing."""
    stack = make_stack(WEB_CONCURRENCY=1)
    with small_disk(stack.folder / "valkey", "16m"):
        stack.start_server()
        worker = stack.start_process("interactive", "-c", _WITHOUT)
        stack.workers.append(worker)
        stack.wait_for_worker(worker)
        with full(stack):
            wait_until(
                lambda: not worker.running or "loop presence failed, 8 times" in worker.log,
                what="the worker to end, or to go on",
            )
        if worker.running:
            mended("Celery or kombu", "tasks/queue/patches/full_server.py", "its call in tasks/work/serving.py")
        assert "Unrecoverable error: 'ResponseError'" in worker.log
        stack.server.kill()  # type: ignore[union-attr]


def test_worker_waits(make_stack: Callable[..., Stack]) -> None:
    """A worker whose broker can store nothing waits, and takes chunks as before when there is room again."""
    stack = make_stack(WEB_CONCURRENCY=1)
    with small_disk(stack.folder / "valkey", "16m"):
        stack.start("interactive")
        (worker,) = stack.workers
        with full(stack):
            wait_until(lambda: "Trying again in" in worker.log, what="the worker to try again")
            assert worker.running
        answer = stack.predict(f"good {uuid.uuid4().hex}", prefer="wait=30")
        assert answer.status_code == 200, answer.text
        assert worker.running
        for process in (stack.web, worker, stack.server):
            process.kill()  # type: ignore[union-attr]
