"""Shifts of a stream on a running service, from texts that come in by HTTP to what is told of them."""

from __future__ import annotations

import json
import random
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tasks.keys import digest
from tests.support.receiver import Receiver
from tests.support.stack import Stack
from tests.support.waiting import wait_until

BEGIN = datetime(2026, 3, 31, 18, 0, tzinfo=UTC)
MINUS, PLUS = 0.3, 0.8
"""Shares of positive texts between which the mood turns."""
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Event = tuple[str, str, dict[str, Any]]


def texts(count: int, positive: float, *, first: int = 0, segment: str | None = None) -> list[dict[str, Any]]:
    """New texts, one a second from BEGIN on, of which this share is positive and the others are negative."""
    chosen = random.Random(f"{count} {positive} {first}")
    return [
        {
            "text": f"{'good' if chosen.random() < positive else 'bad'} {uuid.uuid4().hex}",
            "time": (BEGIN + timedelta(seconds=first + number)).isoformat(),
            **({} if segment is None else {"segment": segment}),
        }
        for number in range(count)
    ]


class Streaming:
    """A new stream on a running service."""

    def __init__(self, stack: Stack, **settings: Any) -> None:
        self.stack = stack
        self.path = f"/streams/s{uuid.uuid4().hex[:12]}"
        answer = stack.http.put(self.path, json=settings)
        assert answer.status_code == 201, answer.text

    def post(self, sent: list[dict[str, Any]]) -> dict[str, Any]:
        """Sends texts; returns the job that counts them."""
        answer = self.stack.http.post(f"{self.path}/texts", json={"texts": sent})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def send(self, sent: list[dict[str, Any]]) -> None:
        """Sends texts and waits until they are counted."""
        assert self.stack.ended(self.post(sent))["status"] == "succeeded"

    @property
    def told(self) -> dict[str, Any]:
        """What is told of the shifts now."""
        answer = self.stack.http.get(f"{self.path}/shifts")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def shifts(self, count: int = 1) -> list[dict[str, Any]]:
        """Waits until so many shifts were found, and returns them."""
        wait_until(lambda: self.told["shifts"] >= count, what=f"{count} shifts")
        return list(self.told["items"])

    def looked_at(self, count: int) -> None:
        """Waits until so many texts were looked at."""
        name = self.path.rpartition("/")[2]
        wait_until(
            lambda: self.stack.metric("sentiment_stream_texts_total", stream=name) == count,
            what=f"{count} texts to be looked at",
        )

    def more_looked_at(self) -> None:
        """Waits until more texts were looked at than now."""
        name = self.path.rpartition("/")[2]
        before = self.stack.metric("sentiment_stream_texts_total", stream=name)
        wait_until(
            lambda: self.stack.metric("sentiment_stream_texts_total", stream=name) > before,
            what="a look at more texts",
            timeout_s=90,
        )

    @contextmanager
    def events(self, last: str | None = None) -> Iterator[Iterator[Event]]:
        """The stream's events as (name, id, data)."""
        headers = {} if last is None else {"Last-Event-ID": last}
        with (
            httpx.Client(base_url=self.stack.http.base_url, timeout=60, trust_env=False) as http,
            http.stream("GET", f"{self.path}/events", headers=headers) as answer,
        ):
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    name = number = ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name, number = value, number
        elif field == "id":
            number = value
        elif field == "data":
            yield name, number, json.loads(value)
            number = ""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A running service that may call back to this machine."""
    stack = Stack(
        WEB_CONCURRENCY=2, model="stub", CALLBACK_SECRET=SECRET, CALLBACK_ALLOW_PRIVATE="true", STREAM_METRICS=100
    )
    stack.start("interactive", "batch")
    yield stack
    stack.close()


def test_turn_is_found(stack: Stack) -> None:
    """Texts whose mood turns in one segment yield one shift there, at the time of the turn, and none in the other."""
    stream = Streaming(stack)
    stream.send(texts(600, MINUS, segment="A") + texts(600, MINUS, first=1, segment="B"))
    stream.send(texts(400, PLUS, first=600, segment="A") + texts(400, MINUS, first=600, segment="B"))
    (shift,) = stream.shifts()
    assert (shift["segment"], shift["number"]) == ("A", 1)
    assert abs(datetime.fromisoformat(shift["at"]) - BEGIN - timedelta(seconds=600)) < timedelta(seconds=30)
    assert 0.1 < shift["difference"]["low"] < shift["difference"]["estimate"] < shift["difference"]["high"]
    assert "of A rose by" in shift["sentence"]
    stream.looked_at(2000)
    told = stream.told
    assert (told["shifts"], len(told["items"]), told["late"]) == (1, 1, [])
    assert 0 < told["false_alarms_per_day"] < 1
    name = stream.path.rpartition("/")[2]
    assert stack.metric("sentiment_stream_shifts_total", stream=name, segment="A") == 1
    assert stack.metric("sentiment_stream_shifts_total", stream=name, segment="B") == 0
    assert stack.metric("sentiment_stream_texts_total", stream=name, segment="B", label="POSITIVE") > 200


def test_unchanged_stream_is_quiet(stack: Stack) -> None:
    """A stream in which nothing changes has no shift, though one text comes a thousand times."""
    stream = Streaming(stack)
    stream.send(texts(1000, MINUS))
    same = {"text": f"good {uuid.uuid4().hex}"}
    stream.send([same | {"time": (BEGIN + timedelta(seconds=1000 + n / 2)).isoformat()} for n in range(1000)])
    stream.send(texts(500, MINUS, first=1500))
    stream.looked_at(2500)
    assert stream.told["items"] == []


def test_sent_twice(stack: Stack) -> None:
    """Texts with ids that are sent a second time are not looked at again."""
    stream = Streaming(stack)
    sent = [text | {"id": str(number)} for number, text in enumerate(texts(600, MINUS) + texts(300, PLUS, first=600))]
    for _ in range(2):
        stream.send(sent)
    stream.looked_at(900)
    assert stream.told["shifts"] == 1


def test_callback(stack: Stack, receiver: Receiver) -> None:
    """A shift is posted once to the stream's callback address, signed as a Standard Webhook, as /shifts tells of it."""
    stream = Streaming(stack, callback_url=receiver.url)
    stream.send(texts(600, MINUS) + texts(300, PLUS, first=600))
    (shift,) = stream.shifts()
    wait_until(lambda: receiver.bodies, what="the callback")
    headers = dict(receiver.requests[0].headers)
    told = Webhook(SECRET).verify(receiver.bodies[0], headers)
    assert told == {"event": "stream.shift", "stream": stream.path.rpartition("/")[2], "shift": shift}
    assert headers["webhook-id"].startswith("stream-shift-")
    assert "Sentiq-Job" not in headers
    wait_until(lambda: not stack.redis.zcard("sentiq:shift-callbacks"), what="the callback to be over")
    assert len(receiver.bodies) == 1


def test_refused_callback(make_stack: Callable[..., Stack]) -> None:
    """A stream's callback address is refused as a job's is: private addresses, and any without a secret."""
    stack = make_stack(WEB_CONCURRENCY=1, CALLBACK_SECRET=SECRET, model="stub")
    stack.start_server()
    stack.start_web()
    answer = stack.http.put("/streams/a", json={"callback_url": "http://127.0.0.1:9/"})
    assert (answer.status_code, answer.json()["code"]) == (422, "callback_refused")


def test_events(stack: Stack) -> None:
    """A listener is told of the stream at once and of each change, with the minutes and the shifts; who comes back is
    told what was missed, and no more.
    """
    stream = Streaming(stack)
    with stream.events() as heard:
        name, first, body = next(heard)
        assert (name, body["texts"], first) == ("stream", 0, "0-0")
        stream.send(texts(60, MINUS, segment="A"))
        minutes: dict[str, int] = {}
        while body["texts"] < 60:
            name, last, data = next(heard)
            if name == "bucket":
                minutes[data["start"]] = data["texts"]
            elif name == "stream":
                body, seen = data, last
        assert minutes == {"2026-03-31T18:00:00.000Z": 60}
        assert body["segments"] == [{"segment": "A", "texts": 60, "failed": 0, "unsupported_language": 0}]
        assert body["links"]["events"] == f"{stream.path}/events"
    stream.send(texts(600, MINUS, first=60, segment="A") + texts(300, PLUS, first=660, segment="A"))
    (shift,) = stream.shifts()
    with stream.events(seen) as heard:
        missed = [next(heard)]
        while missed[-1][0] != "stream":
            missed.append(next(heard))
        assert missed[0] == ("shift", "", shift)
        assert sum(data["texts"] for name, _, data in missed if name == "bucket") == 900
        assert missed[-1][1].endswith("-1")
    with stream.events(missed[-1][1]) as heard:
        stream.send(texts(1, PLUS, first=960, segment="A"))
        again = [next(heard), next(heard)]
        assert [name for name, _, _ in again] == ["bucket", "stream"]
        assert again[0][2]["texts"] == 1


def test_old_file(stack: Stack) -> None:
    """Of an old file that is sent after newer texts all is counted and nothing looked at, and the answer says so."""
    stream = Streaming(stack)
    stream.send(texts(300, MINUS, first=90_000))
    stream.looked_at(300)
    stream.send(texts(600, PLUS))
    stream.looked_at(900)
    assert stream.told["late"] == [{"segment": None, "texts": 600}]
    assert stream.told["items"] == []


def test_too_much_missed(stack: Stack) -> None:
    """A listener who has missed more than is kept, or whose id is of another stream, is told to read all anew."""
    stream = Streaming(stack)
    stream.send(
        [text | {"time": (BEGIN + timedelta(minutes=n)).isoformat()} for n, text in enumerate(texts(600, MINUS))]
    )
    for last in ("0-0", "999999-0", "999999-7"):
        with stream.events(last) as heard:
            assert [next(heard)[0], next(heard)[0]] == ["reset", "stream"]


def test_deleted(stack: Stack) -> None:
    """When a stream is deleted its events end, and no key and no metric is left of it."""
    stream = Streaming(stack)
    stream.send(texts(600, MINUS) + texts(300, PLUS, first=600))
    stream.shifts()
    name = stream.path.rpartition("/")[2]
    uid = stack.redis.hget("sentiq:streams-of:", name).decode()
    with stream.events() as heard:
        next(heard)
        assert stack.http.delete(stream.path).status_code == 204
        assert list(heard) == []
    assert stack.http.get(f"{stream.path}/shifts").status_code == 404
    assert stack.http.get(f"{stream.path}/events").status_code == 404
    assert list(stack.redis.scan_iter(f"*{uid}*")) == []
    assert name not in stack.http.get("/metrics").text


def test_keys(make_stack: Callable[..., Stack]) -> None:
    """Another key's stream is not there, for shifts and events as for all else."""
    keys = {name: f"secret-{name}" for name in ("ann", "bob")}
    stack = make_stack(
        WEB_CONCURRENCY=1,
        model="stub",
        API_KEYS=" ".join(f"{name}:predict+jobs:{digest(key)}" for name, key in keys.items()),
    )
    stack.start_server()
    stack.start_web()
    ann, bob = ({"X-API-Key": key} for key in keys.values())
    assert stack.http.put("/streams/a", json={}, headers=ann).status_code == 201
    assert stack.http.get("/streams/a/shifts", headers=ann).json()["items"] == []
    for part in ("shifts", "events"):
        assert stack.http.get(f"/streams/a/{part}").status_code == 401
        answer = stack.http.get(f"/streams/a/{part}", headers=bob)
        assert (answer.status_code, answer.json()["code"]) == (404, "stream_not_found")


def test_worker_that_is_killed(make_stack: Callable[..., Stack]) -> None:
    """Batch workers that are killed while they score and look neither lose nor double a text or a shift."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub?delay_s=0.02")
    stack.start("batch")
    workers = [stack.workers[0], stack.start_worker("batch")]
    stream = Streaming(stack)
    sent = texts(900, MINUS) + texts(600, PLUS, first=900)
    jobs = [stream.post(sent[first : first + 300]) for first in range(0, 1500, 300)]
    name = stream.path.rpartition("/")[2]
    for worker in workers:
        stream.more_looked_at()
        worker.signal(signal.SIGKILL)
        stack.start_worker("batch")
    for job in jobs:
        assert stack.ended(job)["status"] == "succeeded"
    stream.looked_at(1500)
    (shift,) = stream.shifts()
    assert abs(datetime.fromisoformat(shift["at"]) - BEGIN - timedelta(seconds=900)) < timedelta(seconds=60)
    assert stream.told["late"] == []
    assert stack.metric("sentiment_stream_shifts_total", stream=name) == 1
