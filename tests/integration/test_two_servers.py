"""Two servers: a cache that evicts, and a broker that must not."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_cache_and_broker_apart(make_stack: Callable[..., Stack]) -> None:
    """Queues, jobs and results are on the broker's server, everything that may be lost on the cache's; losing the cache
    loses no job.
    """
    broker = make_stack()
    broker.start_server()
    stack = make_stack(WEB_CONCURRENCY=1, CELERY_BROKER_URL=broker.url, CELERY_RESULT_BACKEND=broker.url).start(
        "interactive", "batch"
    )
    text = f"good {uuid.uuid4().hex}"
    first = stack.predict(text).json()
    job = stack.submit([text, *(f"bad {uuid.uuid4().hex}" for _ in range(400))])
    for _ in range(3):
        stack.redis.flushall()
    job = stack.ended(job)
    assert (job["status"], job["done"], job["failed"], job["cached"]) == ("succeeded", 401, 0, 1)
    assert stack.items(job)[0]["scores"] == first["scores"]
    assert not [
        key
        for key in stack.redis.scan_iter()
        if not key.startswith((b"sentiq:p:", b"sentiq:f:", b"sentiq:r:", b"sentiq:a:", b"sentiq:w", b"sentiq:m:"))
    ]
    ours: tuple[bytes, ...] = (
        b"sentiq:j:",
        b"sentiq:jobs",
        b"sentiq:turn",
        b"sentiq:unfinished",
        b"sentiq:upkeep",
        b"sentiq:ends",
    )
    ours += (b"sentiq:kept:", b"sentiq:open:")
    assert not [key for key in broker.redis.scan_iter("sentiq:*") if not key.startswith(ours)]


def test_broker_away(make_stack: Callable[..., Stack]) -> None:
    """While only the broker is away, cached texts are still answered, unknown ones and jobs get 503, and readiness says
    so.
    """
    broker = make_stack()
    broker.start_server()
    stack = make_stack(WEB_CONCURRENCY=1, CELERY_BROKER_URL=broker.url, CELERY_RESULT_BACKEND=broker.url).start(
        "interactive"
    )
    known = f"good {uuid.uuid4().hex}"
    assert stack.predict(known).status_code == 200
    assert broker.server is not None
    broker.server.terminate()
    assert stack.predict(known).status_code == 200
    for _ in range(2):
        answer = stack.predict(f"good {uuid.uuid4().hex}")
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1
    assert stack.http.post("/batch_predict", json={"texts": ["new"]}).status_code == 503
    assert stack.http.get("/health/ready").json()["redis"] == "down"
    broker.start_server()
    wait_until(
        lambda: stack.predict(f"good {uuid.uuid4().hex}").status_code == 200,
        what="an answer over the broker that is back",
    )
