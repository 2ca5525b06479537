"""The metrics of real workers, and what a chunk's message carries for them."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import list_names
from tests.integration.test_metrics import values
from tests.support.stack import Stack, free_port
from tests.support.waiting import wait_until

MakeStack = Callable[..., Stack]


class Page:
    """A worker's own metrics page."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/metrics"

    def samples(self) -> dict[str, float]:
        """The sum of each metric's samples."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(httpx.get(self._address, trust_env=False, timeout=10).text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
        return found

    def __getitem__(self, name: str) -> float:
        return self.samples()[f"sentiment_{name}"]


def _is_served(port: int) -> bool:
    try:
        return Page(port)["model_info"] == 1
    except httpx.TransportError:
        return False


def _start(stack: Stack, role: str, *, visibility_s: int | None = None) -> Page:
    port = free_port()
    stack.environment["METRICS_PORT"] = str(port)
    stack.start_worker(role, visibility_s=visibility_s)
    return Page(port)


def test_age_is_that_of_the_oldest(server: Stack) -> None:
    """The age of a queue is that of its oldest message, whatever its priority; a text that imitates a message's header
    has no effect.
    """
    send = ChunkSender(create_celery(server.settings()), server.default_model)
    send.send_job_chunk("job", 5000)
    value = values(server)
    wait_until(lambda: (value("queue_oldest_seconds", queue="batch") or 0) > 0.3, what="the chunk to be 0.3 s old")
    send.send_job_chunk("job", 0)
    send.send_texts(['"sent_at": 1.0', '"sent_at": 1.0, \''])
    assert value("queue_messages", queue="batch") == 2
    assert 0.3 < (value("queue_oldest_seconds", queue="batch") or 0) < 20
    assert 0 <= (value("queue_oldest_seconds", queue="interactive") or 0) < 20


def test_messages_show_no_text(server: Stack) -> None:
    """A message has callers' texts only in its body, so Flower and Celery's events do not show them."""
    ChunkSender(create_celery(server.settings()), server.default_model).send_texts(["a secret of mine"])
    (message,) = server.redis.lrange(list_names("interactive")[0], 0, -1)
    assert b"secret" not in message
    assert b'"sent_at": ' in message


def test_worker_serves_its_own(make_stack: MakeStack) -> None:
    """A worker with a METRICS_PORT shows its metrics there and only there: texts, calls, micro-batches, tokens, waits,
    failures, its process.
    """
    stack = make_stack(WEB_CONCURRENCY=1)
    stack.start_server()
    page = _start(stack, "interactive")
    stack.start_web()
    before = page.samples()
    for _ in range(3):
        assert stack.predict(f"four words, good {uuid.uuid4().hex}").status_code == 200
    assert stack.predict("poison").status_code == 422
    grown = {name: value - before.get(name, 0) for name, value in page.samples().items()}
    expected = {"texts_scored_total": 3, "texts_failed_total": 1, "defects_total": 0, "redeliveries_total": 0}
    expected |= {
        "call_texts_count": 3,
        "call_texts_sum": 3,
        "batch_texts_sum": 3,
        "tokens_total": 12,
        "cells_total": 12,
    }
    expected |= {"queue_wait_seconds_count": 4}
    assert {name: grown[f"sentiment_{name}"] for name in expected} == expected
    assert grown["sentiment_engine_seconds_total"] > 0
    assert 0 <= grown["sentiment_queue_wait_seconds_sum"] < 10
    assert page["model_info"] == 1
    assert page.samples()["process_resident_memory_bytes"] > 1e7
    assert not any(name.startswith(("sentiment_predictions", "sentiment_jobs")) for name in page.samples())
    assert stack.metric("sentiment_texts_scored_total") == stack.metric("sentiment_model_info") == 0
    assert stack.metric("sentiment_workers_ready", role="interactive") == 1


def test_waiting_chunks_are_scored_together(make_stack: MakeStack) -> None:
    """Of callers' chunks that wait in a worker, some are scored in one call of the engine."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02")
    stack.start_server()
    sender = ChunkSender(create_celery(stack.settings()), stack.default_model)
    for _ in range(24):
        sender.send_texts([f"good {uuid.uuid4().hex}"])
    page = _start(stack, "interactive")
    wait_until(lambda: page["texts_scored_total"] == 24, what="all chunks to be scored")
    assert page["call_texts_count"] < 24


def test_port_that_is_taken(make_stack: MakeStack) -> None:
    """A worker whose METRICS_PORT is taken logs that and works without metrics; it serves them once the port is free,
    as it is when the worker whose place it takes has ended.
    """
    stack = make_stack(WEB_CONCURRENCY=1)
    stack.start_server()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = stack.environment["METRICS_PORT"] = str(taken.getsockname()[1])
        worker = stack.start_worker("interactive")
        stack.start_web()
        assert stack.predict("good").status_code == 200
        assert f"no metrics: cannot listen on 127.0.0.1:{port}" in worker.log
    wait_until(lambda: _is_served(int(port)), what="the metrics, now that the port is free")


def test_chunk_of_a_dead_worker_is_counted(make_stack: MakeStack) -> None:
    """A chunk whose worker died waits again with its whole age, and its second start counts as a redelivery."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=3", PREDICT_TIMEOUT=0.2)
    stack.start_server()
    page = _start(stack, "interactive", visibility_s=2)
    stack.start_web()
    assert stack.predict("slow but sure").status_code == 202
    wait_until(lambda: page["queue_wait_seconds_count"] == 1, what="the chunk to be begun")
    stack.workers[0].kill()
    value = values(stack)
    wait_until(lambda: (value("queue_oldest_seconds", queue="interactive") or 0) > 3, what="the chunk to wait again")
    second = _start(stack, "interactive", visibility_s=2)
    wait_until(lambda: second["redeliveries_total"] == 1, what="the chunk to be begun again", timeout_s=60)
    assert second["queue_wait_seconds_count"] == 0


@pytest.mark.parametrize(("texts", "state"), [(["good"], "succeeded"), (["poison"], "failed")])
def test_ended_jobs_are_counted_once(service: Stack, texts: list[str], state: str) -> None:
    """The end of a job is counted once over all processes, by its state."""
    before = {
        end: service.metric("sentiment_jobs_ended_total", state=end) for end in ("succeeded", "failed", "cancelled")
    }
    job = service.ended(service.submit([f"{text} {uuid.uuid4().hex}" for text in texts]))
    assert job["status"] == state
    service.http.delete(job["links"]["self"])  # it has ended, so that changes nothing
    after = {end: service.metric("sentiment_jobs_ended_total", state=end) for end in before}
    assert after == before | {state: before[state] + 1}


def test_cancelled_jobs_are_counted_once(service: Stack) -> None:
    """A job that is cancelled, however often, counts once and is no longer unfinished."""
    before = service.metric("sentiment_jobs_ended_total", state="cancelled")
    unfinished = service.metric("sentiment_jobs_unfinished")
    job = service.submit([f"good {number} {uuid.uuid4().hex}" for number in range(1000)])
    for _ in range(2):
        assert service.http.delete(job["links"]["self"]).status_code == 202
    assert service.metric("sentiment_jobs_ended_total", state="cancelled") == before + 1
    wait_until(lambda: service.metric("sentiment_jobs_unfinished") == unfinished, what="the job to be finished with")
