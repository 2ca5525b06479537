"""The metrics that are read from Redis at each scrape, on a real server with real messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from tasks.jobs.keys import turn_keys
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import UNACKED, UNACKED_INDEX, list_names
from tasks.store.connections import connect
from tasks.store.presence import Presence
from tasks.wire import WorkerMark
from tests.support.stack import Stack
from webapp.compose import queue_metrics

Value = Callable[..., float | None]


def values(stack: Stack) -> Value:
    """Reads the collector's samples, as a scrape would."""
    registry = CollectorRegistry()
    registry.register(queue_metrics(stack.settings()))
    return lambda name, **labels: registry.get_sample_value(f"sentiment_{name}", labels)


@pytest.fixture
def send(server: Stack) -> ChunkSender:
    """Puts chunks into the queues; there are no workers."""
    return ChunkSender(create_celery(server.settings()), server.default_model)


def _message(sent_at: float, queue: str) -> str:
    """An entry of the hash of deliveries, reduced to what is read."""
    return (
        '[{"body": "eyJ9", "headers": {"argsrepr": "[\'\\\\"sent_at\\\\": 1.0\']",'
        f' "sent_at": {sent_at}}}}}, "", "{queue}"]'
    )


def test_empty_queues(server: Stack) -> None:
    """With an empty Redis every figure is 0, and no key is created."""
    value = values(server)
    for queue in ("interactive", "batch"):
        assert value("queue_messages", queue=queue) == 0
        assert value("queue_oldest_seconds", queue=queue) == 0
        assert value("workers_ready", role=queue) == 0
    assert value("queue_delivered") == value("jobs_unfinished") == value("jobs_ended_total", state="succeeded") == 0
    assert value("redis_up", part="cache") == value("redis_up", part="broker") == value("redis_up", part="results") == 1
    assert server.redis.keys("*") == []


def test_length_over_priorities(server: Stack, send: ChunkSender) -> None:
    """A queue's length includes all its priorities, and none of the other queue's messages."""
    send.send_texts(["a", "b"])
    for number in range(3):
        send.send_job_chunk("job", number)
    server.redis.lmove(list_names("batch")[-1], "batch", "LEFT", "LEFT")  # as the version before sent first chunks
    value = values(server)
    assert value("queue_messages", queue="interactive") == 1
    assert value("queue_messages", queue="batch") == 3
    assert server.redis.llen("batch") == 1


def test_chunks_that_wait_for_their_turn(server: Stack, send: ChunkSender) -> None:
    """Chunks of jobs that are not sent yet belong to the queue, with the time for which they wait."""
    turns = turn_keys(server.default_model)[1]
    send.send_job_chunk("job", 0)
    server.redis.zadd(turns, {"job.1": time.time() - 40, "job.2": time.time() - 30})
    server.redis.expire(turns, 60)
    value = values(server)
    assert value("queue_messages", queue="batch") == 3
    assert value("queue_oldest_seconds", queue="batch") == pytest.approx(40, abs=2)
    assert value("queue_messages", queue="interactive") == value("queue_oldest_seconds", queue="interactive") == 0


def test_a_worker_that_holds_a_chunk_does_not_let_it_wait(server: Stack) -> None:
    """A chunk that a living worker holds has no age; one whose worker no longer renews it counts as waiting since it
    was sent.
    """
    now, value = time.time(), values(server)
    server.redis.hset(
        UNACKED, mapping={"held": _message(now - 500, "batch"), "lost": _message(now - 60, "interactive")}
    )
    server.redis.zadd(UNACKED_INDEX, {"held": now, "lost": now})
    assert value("queue_oldest_seconds", queue="batch") == value("queue_oldest_seconds", queue="interactive") == 0
    assert value("queue_delivered") == 2
    server.redis.zadd(UNACKED_INDEX, {"lost": now - 4})
    assert value("queue_oldest_seconds", queue="interactive") == pytest.approx(60, abs=2)
    assert value("queue_oldest_seconds", queue="batch") == 0


def test_one_round_trip(server: Stack, send: ChunkSender) -> None:
    """A scrape makes one round trip to a server, however many messages wait there."""
    for number in range(50):
        send.send_job_chunk("job", number)
    queues = queue_metrics(server.settings())
    list(queues.collect())
    client: Any
    (client,) = queues._parts
    sent = 0
    connection = client.connection_pool.get_connection()
    original = connection.send_packed_command

    def counted(*arguments: Any, **options: Any) -> None:
        nonlocal sent
        sent += 1
        original(*arguments, **options)

    connection.send_packed_command = counted
    client.connection_pool.release(connection)
    list(queues.collect())
    assert sent == 1


def test_ready_workers(server: Stack) -> None:
    """Workers that are ready with the model that the settings ask for are counted by role, with their rates."""
    presence = Presence(connect(server.url, timeout_s=1.0))
    for number, (role, tag) in enumerate(
        [("batch", "stub@-"), ("batch", "stub@-"), ("batch", "other@-"), ("interactive", "stub@-")]
    ):
        presence.announce(WorkerMark(str(number), role, "stub@1/stub", tag, "cpu", texts_per_s=10.0, started_at=0.0))
    server.environment["MODEL_NAME"], before = "stub", server.environment["MODEL_NAME"]
    try:
        value = values(server)
    finally:
        server.environment["MODEL_NAME"] = before
    assert (value("workers_ready", role="batch"), value("workers_texts_per_second", role="batch")) == (2, 20)
    assert value("workers_ready", role="interactive") == 1


def test_server_that_is_away(server: Stack) -> None:
    """If a server is away, the page says so and leaves out that server's metrics."""
    server.environment["CELERY_BROKER_URL"] = "unix:///nowhere/valkey.sock"
    try:
        value = values(server)
    finally:
        del server.environment["CELERY_BROKER_URL"]
    assert (value("redis_up", part="broker"), value("redis_up", part="cache")) == (0, 1)
    assert value("queue_oldest_seconds", queue="batch") is None
    assert value("jobs_unfinished") == 0


def test_page_has_them_once(service: Stack) -> None:
    """With two Gunicorn processes each of these series is on the page once, also in the format OpenMetrics."""
    for accept in ("text/plain", "application/openmetrics-text; version=1.0.0"):
        page = service.http.get("/metrics", headers={"Accept": accept})
        assert page.headers["Content-Type"].startswith(accept.partition(";")[0])
        lines = [line for line in page.text.splitlines() if line.startswith("sentiment_workers_ready{")]
        assert sorted(lines) == [
            'sentiment_workers_ready{role="batch"} 1.0',
            'sentiment_workers_ready{role="interactive"} 1.0',
        ]


def test_file_that_is_only_begun(service: Stack) -> None:
    """A process that has only just created its file of counts, and written nothing yet, does not make the page fail."""
    begun = service.folder / "metrics" / "counter_999999.db"
    begun.touch()
    try:
        assert service.metric("sentiment_workers_ready", role="batch") == 1
        assert service.metric("flask_http_request_total") > 0
    finally:
        begun.unlink()
