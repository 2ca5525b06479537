"""What a later version puts into Redis for its own processes is left there by the processes of this version."""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Callable

import orjson
import pytest

from tasks.jobs.keys import chunk_id, job_key
from tasks.queue.app import SENT_AT, TASK, create_celery
from tasks.queue.queues import list_names, task_ids
from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_chunk(make_stack: Callable[..., Stack]) -> None:
    """A worker puts a chunk of a later version back each time it gets it, and answers callers meanwhile; when the
    worker ends, the chunk still waits.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub").start("interactive")
    app, name = create_celery(stack.settings()), uuid.uuid4().hex
    message = {"v": 2, "kind": "texts", "tag": stack.settings().model_tag, "texts": [{"text": "of a later version"}]}
    app.send_task(TASK, args=[message], queue="interactive", task_id=name, ignore_result=True)
    (worker,) = stack.workers
    wait_until(lambda: worker.log.count(f"chunk {name} goes back") >= 3, what="the chunk to be given back three times")
    assert stack.predict(f"good {uuid.uuid4().hex}", prefer="wait=20").status_code == 200
    worker.terminate()
    assert task_ids(stack.redis, "interactive") == {name}
    assert stack.redis.hlen("unacked") == 0
    assert stack.texts_scored() == 1


def test_chunk_does_not_hold_up_a_job(make_stack: Callable[..., Stack]) -> None:
    """While a chunk of a later version waits, jobs of this version run to their end, also with their later chunks,
    which have a lower priority than it had. It keeps its id and the time when it was sent.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02").start("batch")
    app, name = create_celery(stack.settings()), uuid.uuid4().hex
    app.send_task(TASK, args=[{"v": 2}], queue="batch", task_id=name, headers={SENT_AT: 1.5}, ignore_result=True)
    (worker,) = stack.workers
    wait_until(lambda: f"chunk {name} goes back" in worker.log, what="the chunk to be given back")
    job = stack.submit([f"good {uuid.uuid4().hex}" for _ in range(300)])
    assert int(stack.redis.hget(job_key(job["id"]), "chunks") or 0) > 4
    assert stack.ended(job)["status"] == "succeeded"
    worker.terminate()
    assert task_ids(stack.redis, "batch") == {name}
    (message,) = (orjson.loads(raw) for raw in stack.redis.lrange(list_names("batch")[-1], 0, -1))
    assert message["headers"][SENT_AT] == 1.5


@pytest.mark.parametrize("left", ["its lines", "a chunk's outcomes"])
def test_lines(service: Stack, left: str) -> None:
    """If only a later version can read a job's lines, a web process of this version answers that it cannot serve them
    now, and still serves what else it knows of the job.
    """
    job = service.submit([f"good {uuid.uuid4().hex}"])
    assert service.ended(job)["status"] == "succeeded"
    assert len(service.items(job)) == 1
    if left == "its lines":
        service.redis.hset(job_key(job["id"], "in"), "0", zlib.compress(b'{"v":3}'))
    else:
        key = create_celery(service.settings()).backend.get_key_for_task(chunk_id(job["id"], 0))
        service.redis.set(key, b'{"status":"SUCCESS","result":{"v":2}}', ex=60)
    answer = service.http.get(job["links"]["results"])
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert "Retry-After" in answer.headers
    assert service.http.get(job["links"]["self"]).json()["status"] == "succeeded"
