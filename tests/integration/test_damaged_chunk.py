"""What is stored of a job was damaged: the job ends all the same, and says which lines have no answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from tasks.jobs.keys import job_key
from tests.support.stack import Stack


@pytest.mark.parametrize("damaged", [b"garbage", None])
def test_job_ends_as_failed(make_stack: Callable[..., Stack], damaged: bytes | None) -> None:
    """A job whose texts are damaged, or lost, before a worker takes them ends as failed, with an error for each line;
    the next job of the same worker is scored.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start()
    job = stack.submit([f"good {uuid.uuid4().hex}"] * 2)
    todo = job_key(job["id"], "todo")
    if damaged is None:
        stack.redis.delete(todo)
    else:
        assert stack.redis.hset(todo, "0", damaged) == 0
    stack.start_worker("batch")
    ended = stack.ended(job)
    assert (ended["status"], ended["failed"], ended["done"]) == ("failed", 2, 2)
    assert [item["error"] for item in stack.items(job)] == [{"code": "internal_error"}] * 2
    assert stack.ended(stack.submit([f"good {uuid.uuid4().hex}"]))["status"] == "succeeded"
