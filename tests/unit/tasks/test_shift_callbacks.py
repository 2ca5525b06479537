"""Callbacks of shifts: posted by the machinery of jobs' callbacks, within the same bounds."""

from __future__ import annotations

import orjson
from standardwebhooks import Webhook

from tasks.jobs.keys import CALLBACKS
from tasks.streams.shifts import SHIFT_CALLBACKS
from tasks.work.callbacks import OF_A_HOST, Callbacks, ended_jobs
from tasks.work.shift_callbacks import found_shifts
from tests.support.receiver import Receiver, status
from tests.support.stack import Stack
from tests.support.streams import Live, drawn
from tests.support.waiting import wait_until

SECRETS = {"ann": "hers", None: "everybody's"}


def found(server: Stack, url: str, owner: str = "ann") -> Live:
    """A stream that was found to have shifted, and has a callback_url."""
    live = Live(server, owner=owner, callback_url=url)
    turn = live.counted(drawn(1500, 0.3, 1), segment="A")
    live.counted(drawn(1500, 0.8, 2), segment="A", begin=turn)
    live.shifts.look()
    return live


def runner(server: Stack) -> Callbacks:
    """The callbacks of a worker, of jobs and of shifts."""

    def body(job_id: str) -> tuple[str, bytes] | None:
        url = server.redis.hget(f"sentiq:j:{job_id}", "callback_url")
        return (url.decode(), b"{}") if url else None

    kinds = [ended_jobs(body), found_shifts(server.redis)]
    return Callbacks(server.redis, secret=SECRETS.get, allow_private=True, kinds=kinds)


def run(callbacks: Callbacks) -> int:
    """Makes the attempts that are due, and waits until they have ended; returns their number."""
    count = callbacks.run_due()
    wait_until(lambda: not callbacks.under_way, what="the attempts to end")
    return count


def test_shift_is_posted(server: Stack, receiver: Receiver) -> None:
    """A shift is posted once, signed with the secret of the stream's key, and without the deprecated headers."""
    live = found(server, receiver.url)
    assert [run(runner(server)) for _ in range(2)] == [1, 0]
    (request,), (body,) = receiver.requests, receiver.bodies
    told = Webhook(b"hers").verify(body, dict(request.headers))
    assert (told["event"], told["stream"], told["shift"]["segment"]) == ("stream.shift", "debate", "A")
    assert told["shift"]["number"] == live.found()[0].number == 1
    assert request.headers["webhook-id"] == f"stream-shift-{live.stream.uid}.1"
    assert {name.lower() for name in request.headers if name.lower().startswith("sentiq")} == set()
    assert server.redis.hget(f"sentiq:shift:{live.stream.uid}.1", "callback_state") == b"delivered"


def test_shift_is_posted_again(server: Stack, receiver: Receiver) -> None:
    """A shift that is not accepted is due again, under the same id; 410 ends it."""
    receiver.answer = status(500)
    live = found(server, receiver.url)
    callback = f"{live.stream.uid}.1"
    assert run(runner(server)) == 1
    assert server.redis.hmget(f"sentiq:shift:{callback}", "callback_state", "callback_attempts") == [b"pending", b"1"]
    server.redis.zadd(SHIFT_CALLBACKS, {callback: 1.0})
    receiver.answer = status(410)
    assert run(runner(server)) == 1
    assert server.redis.hget(f"sentiq:shift:{callback}", "callback_state") == b"failed"
    assert not server.redis.exists(SHIFT_CALLBACKS)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


def test_stream_that_was_deleted(server: Stack, receiver: Receiver) -> None:
    """A shift whose stream was deleted is not told of, and nothing is left of it."""
    live = found(server, receiver.url)
    server.redis.delete(f"sentiq:s:{live.stream.uid}")
    run(runner(server))
    assert receiver.requests == []
    assert not server.redis.exists(f"sentiq:shift:{live.stream.uid}.1", SHIFT_CALLBACKS)


def test_without_an_address(server: Stack) -> None:
    """Of a stream without a callback_url nothing is kept to be posted."""
    live = Live(server)
    turn = live.counted(drawn(1500, 0.3, 1))
    live.counted(drawn(1500, 0.8, 2), begin=turn)
    live.shifts.look()
    assert len(live.found()) == 1
    assert not server.redis.exists(SHIFT_CALLBACKS)
    assert list(server.redis.scan_iter("sentiq:shift:*")) == []


def test_bounds_hold_for_both(server: Stack, receiver: Receiver) -> None:
    """Jobs and shifts of one host have their attempts together, not each as many."""
    found(server, receiver.url)
    shift = {"callback_url": receiver.url, "body": orjson.dumps({}), "uid": "x", "owner": "ann"}
    server.redis.set("sentiq:s:x", 1, ex=100)
    for number in range(OF_A_HOST):
        for key, facts, due in (
            (f"sentiq:j:{number}", {"callback_url": receiver.url, "owner": "ann"}, (CALLBACKS, str(number))),
            (f"sentiq:shift:x.{number}", shift, (SHIFT_CALLBACKS, f"x.{number}")),
        ):
            server.redis.hset(key, mapping=facts)
            server.redis.expire(key, 100)
            server.redis.zadd(due[0], {due[1]: 1.0})
            server.redis.expire(due[0], 100)
    assert run(runner(server)) == OF_A_HOST
