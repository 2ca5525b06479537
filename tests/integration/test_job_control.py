"""Reading, following and cancelling jobs, callbacks, and many jobs at the same time, on a running service."""

from __future__ import annotations

import hmac
import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tasks.jobs.results import CeleryResults
from tasks.jobs.running import RunningJobs
from tasks.queue.app import ChunkSender, create_celery
from tasks.queue.queues import list_names, waiting
from tasks.queue.turns import Turns
from tasks.work.callbacks import Callbacks, ended_jobs
from tasks.work.shifts import Shifts
from tasks.work.upkeep import Upkeep
from tests.support.receiver import Receiver
from tests.support.stack import Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until


def events(stack: Stack, job: dict[str, Any], last: str | None = None) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A job's events as (name, id, job)."""
    headers = {} if last is None else {"Last-Event-ID": last}
    with (
        httpx.Client(base_url=stack.http.base_url, trust_env=False, timeout=30) as http,
        http.stream("GET", job["links"]["events"], headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        fields: dict[str, str] = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if line == "" and "data" in fields:
                yield fields["event"], fields["id"], json.loads(fields["data"])
                fields = {}
            elif name:
                fields[name] = value


def test_events_tell_all_and_end(service: Stack) -> None:
    """A listener gets a job's progress, which never goes back, and its end; then the stream ends."""
    job = service.submit(new_texts(600))
    heard = list(events(service, job))
    assert [name for name, _, _ in heard] == ["progress"] * (len(heard) - 1) + ["end"]
    assert len(heard) >= 3
    assert [now["done"] for _, _, now in heard] == sorted(now["done"] for _, _, now in heard)
    assert heard[-1][2] == service.http.get(job["links"]["self"]).json()
    assert heard[-1][2]["status"] == "succeeded"


def test_events_go_on_where_they_stopped(service: Stack) -> None:
    """A listener who comes back with the last event's id gets only later changes; after the end nothing (204)."""
    job = service.submit(new_texts(600))
    stream = events(service, job)
    _, last, _ = next(stream)
    stream.close()  # type: ignore[attr-defined]
    rest = list(events(service, job, last))
    assert all(int(number) > int(last) for _, number, _ in rest)
    assert rest[-1][0] == "end"
    answer = service.http.get(job["links"]["events"], headers={"Last-Event-ID": rest[-1][1]})
    assert answer.status_code == 204
    assert [name for name, _, _ in events(service, job)] == ["end"]


def test_many_listeners_hold_nobody_up(service: Stack) -> None:
    """A hundred listeners get the end of a job, and callers of /predict are answered meanwhile."""
    job = service.submit(new_texts(500))
    with ThreadPoolExecutor(100) as pool:
        heard = [pool.submit(lambda: list(events(service, job))[-1]) for _ in range(100)]
        assert {service.predict(text).status_code for text in new_texts(20)} == {200}
        assert {end.result(60)[0] for end in heard} == {"end"}


def test_listeners_do_not_hold_a_stop_up(make_stack: Callable[..., Stack]) -> None:
    """Gunicorn ends on SIGTERM even while somebody listens to a job that makes no progress."""
    stack = make_stack(WEB_CONCURRENCY=1)
    stack.start_server()
    web = stack.start_web()
    job = stack.submit(new_texts(3))
    stream = events(stack, job)
    assert next(stream)[2]["status"] == "queued"
    web.terminate()
    assert list(stream) == []
    assert "WORKER TIMEOUT" not in web.log


def test_cancel(service: Stack) -> None:
    """A cancelled job stops soon, says so and keeps what is done; its other lines are cancelled. Cancelling it again
    changes nothing.
    """
    job = service.submit(new_texts(2500))
    wait_until(lambda: service.http.get(job["links"]["self"]).json()["done"] > 0, what="the job to begin")
    answer = service.http.delete(job["links"]["self"])
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    # When a later job has ended, chunks that were begun before have ended too.
    service.ended(service.submit(new_texts(1)))
    now = service.http.get(job["links"]["self"]).json()
    assert 0 < now["done"] < 2500
    assert now["finished_at"] is not None
    items = service.items(job, limit=5000)
    assert len(items) == 2500
    assert [item["status"] for item in items].count("done") == now["done"]
    assert {item["status"] for item in items} == {"done", "cancelled"}
    assert service.http.delete(job["links"]["self"]).json() == now


def test_cancel_an_ended_job(service: Stack) -> None:
    """Cancelling a job that has ended changes nothing; an unknown job is 404."""
    job = service.ended(service.submit(new_texts(2)))
    answer = service.http.delete(job["links"]["self"])
    assert (answer.status_code, answer.json()) == (202, job)
    assert service.http.delete(f"/jobs/{'0' * 32}").status_code == 404


def test_list(service: Stack) -> None:
    """Jobs are listed newest first, page by page, all or by state, each in the same form as at its own address."""
    ids = [service.ended(service.submit(new_texts(1)))["id"] for _ in range(5)]
    failed = service.submit([""])["id"]
    found: list[dict[str, Any]] = []
    address = "/jobs?limit=2"
    while len(found) < 6:
        page = service.http.get(address).json()
        found += page["items"]
        address = page["next"]
    assert [job["id"] for job in found[:6]] == [failed, *reversed(ids)]
    assert all(service.http.get(job["links"]["self"]).json() == job for job in found[:6])
    assert service.http.get("/jobs?status=failed&limit=1").json()["items"][0]["id"] == failed
    assert service.http.get("/jobs?status=succeeded&limit=1").json()["items"][0]["id"] == ids[-1]
    succeeded = service.http.get("/jobs?status=succeeded&limit=2").json()
    assert "status=succeeded" in succeeded["next"]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "status=done", "cursor=x", "cursor=1-2", "page=1"])
def test_wrong_list(service: Stack, query: str) -> None:
    """Invalid parameters of a list are 422."""
    answer = service.http.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


def test_small_jobs_overtake(service: Stack) -> None:
    """A small job that comes after two large ones ends before either, and meanwhile the large ones share the worker."""
    large = [service.submit(new_texts(2500)) for _ in range(2)]
    wait_until(
        lambda: all(service.http.get(job["links"]["self"]).json()["done"] > 600 for job in large),
        what="both to be under way",
    )
    small = service.ended(service.submit(new_texts(20)))
    states = [service.http.get(job["links"]["self"]).json() for job in large]
    assert small["status"] == "succeeded"
    assert [job["status"] for job in states] == ["running"] * 2
    assert abs(states[0]["done"] - states[1]["done"]) <= 1250
    for job in large:
        service.http.delete(job["links"]["self"])


def test_jobs_give_way(service: Stack) -> None:
    """The batch worker has the lowest priority, and so has its session where the kernel schedules by session; the
    interactive worker has the normal one.
    """
    for worker, niceness in zip(service.workers, (0, 19), strict=True):
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) == niceness
        if (session := Path(f"/proc/{worker.pid}/autogroup")).exists():
            assert session.read_text().split()[-1] == str(niceness)


def test_few_chunks_in_the_queue(service: Stack) -> None:
    """However many texts a job has, only a few of its chunks are in the queue at a time."""
    wait_until(lambda: waiting(service.redis, "batch") == 0, what="the queue to be empty")
    job = service.submit(new_texts(2000))
    facts = service.redis.hgetall(f"sentiq:j:{job['id']}")
    assert int(facts[b"chunks"]) > 2 * int(facts[b"window"])
    seen: list[int] = []

    def over() -> bool:
        seen.append(waiting(service.redis, "batch"))
        return bool(service.http.get(job["links"]["self"]).json()["status"] == "succeeded")

    wait_until(over, what="the job to end")
    assert 0 < max(seen) <= int(facts[b"window"])


def test_lost_message(make_stack: Callable[..., Stack]) -> None:
    """A job whose messages the broker has lost is brought to its end by the upkeep, whatever else waits. Chunks that
    wait for their turn or are being scored are left alone. A lock holds nobody up after the server's clock went back.
    """
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.01")
    stack.start_server()
    stack.start_web()
    job = stack.submit(new_texts(300))
    sent = waiting(stack.redis, "batch")
    assert sent > 1
    waits = stack.submit(new_texts(300))
    assert waiting(stack.redis, "batch") == sent
    app, model = create_celery(stack.settings()), stack.default_model
    jobs = RunningJobs(stack.redis, CeleryResults(app, stack.redis))
    callbacks = Callbacks(stack.redis, secret=lambda _: None, allow_private=False, kinds=[ended_jobs(jobs.callback)])
    sender = ChunkSender(app, model)
    turns = Turns(stack.redis, sender, model, workers=lambda role: 0)
    shifts = Shifts(stack.redis, most_series=0)
    upkeep = Upkeep(jobs, callbacks, sender, turns, stack.redis, model, shifts)

    def repaired(*, settle_s: float = 0.5) -> int:
        stack.redis.delete("sentiq:upkeep")  # otherwise the upkeep looks only every five seconds
        return upkeep.repair(settle_s=settle_s)

    # As it is after the server's clock was set back by an hour.
    stack.redis.set("sentiq:upkeep", 1, px=3_600_000)
    assert upkeep.repair() == 0
    assert stack.redis.pttl("sentiq:upkeep") <= 5000
    assert repaired() == 0
    assert any(chunk.startswith(waits["id"]) for chunk in turns.waiting())
    for name in list_names("batch"):
        for message in stack.redis.lrange(name, 0, -1):
            if job["id"].encode() in message:
                stack.redis.lrem(name, 1, message)
    assert waiting(stack.redis, "batch") == 0
    assert repaired() == sent
    assert (repaired(), waiting(stack.redis, "batch")) == (0, sent)
    worker = stack.start_worker("batch")

    def holds_a_chunk() -> bool:
        worker.signal(signal.SIGCONT)
        worker.signal(signal.SIGSTOP)
        wait_until(lambda: ") T " in Path(f"/proc/{worker.pid}/stat").read_text(), what="the worker to stand still")
        held = stack.redis.hlen("unacked")
        # Not while it holds a chunk that it has not noted yet: that would be lost if it died now.
        return bool(held > 0 and held + waiting(stack.redis, "batch") == sent)

    wait_until(holds_a_chunk, what="the worker to hold a chunk")
    assert repaired() == 0
    worker.signal(signal.SIGCONT)
    while stack.http.get(job["links"]["self"]).json()["done"] < 300:
        assert repaired(settle_s=5.0) == 0  # a busy machine leaves the worker, which gives way, little time
    assert stack.ended(job)["done"] == stack.ended(waits)["done"] == 300
    assert "sending it again" not in stack.workers[0].log


def test_callback(make_stack: Callable[..., Stack], receiver: Receiver) -> None:
    """When a job has ended, its state is posted once to its callback address, signed as a Standard Webhook and in the
    deprecated header; to a private address only if that is allowed.
    """
    secret = "whsec_" + "c2VjcmV0" * 4
    stack = make_stack(WEB_CONCURRENCY=1, CALLBACK_SECRET=secret, CALLBACK_ALLOW_PRIVATE="1").start("batch")
    job = stack.http.post("/batch_predict", json={"texts": ["good", "bad"], "callback_url": receiver.url}).json()
    assert job["callback"] == {"url": receiver.url, "state": "pending", "attempts": 0}
    stack.ended(job)
    now = wait_until(
        lambda: (found := stack.http.get(job["links"]["self"]).json())["callback"]["state"] == "delivered" and found,
        what="the job to know that its end was told",
    )
    (request,), (body,) = receiver.requests, receiver.bodies
    told = Webhook(secret).verify(body, dict(request.headers))
    assert told == {"event": "job.ended", "job": {name: now[name] for name in told["job"]}}
    assert told["job"]["status"] == "succeeded"
    stamp = request.headers["webhook-timestamp"]
    by_hand = hmac.new(secret.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    assert request.headers["Sentiq-Signature"] == f"t={stamp},v1={by_hand}"
    assert request.headers["Sentiq-Job"] == job["id"]


def test_private_callback_is_refused(make_stack: Callable[..., Stack]) -> None:
    """Unless a setting allows it, a private or loopback callback address is refused when the job comes in."""
    stack = make_stack(WEB_CONCURRENCY=1, CALLBACK_SECRET="a secret")
    stack.start_server()
    stack.start_web()
    for url in (
        "http://127.0.0.1/x",
        "http://10.0.0.1/",
        "http://[::1]:8000/",
        "http://localhost/",
        "ftp://example.org/",
    ):
        answer = stack.http.post("/batch_predict", json={"texts": ["good"], "callback_url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "callback_refused")
    assert stack.http.get("/jobs").json()["items"] == []
