"""Texts of a stream are each counted once, whoever dies in the middle: a worker, a message that comes twice, Redis."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from model.labels import LABELS
from tasks.store.connections import connect
from tasks.streams.kept import KeptStreams
from tests.fault.test_twice import Doubler
from tests.support.faults import MODEL
from tests.support.keys import keys_without_end
from tests.support.launched import Launched
from tests.support.stack import Stack
from tests.support.texts import direct, labels
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
Line = dict[str, Any]
NOON = 1_774_958_400  # 2026-03-31T12:00Z


def made_up(count: int, *, first: int = 0, ids: bool = False) -> list[Line]:
    """So many different lines, in two segments and many minutes; every second one has an id, or with `ids` all."""
    return [
        {
            "text": f"{('awful', 'plain', 'wonderful')[number % 3]} thing number {number}",
            "segment": ("radio", "tv")[number % 4 // 2],
            "author": f"u{number % 50}",
            "time": NOON + 7 * number,
            **({"id": f"n{number}"} if ids or number % 2 else {}),
        }
        for number in range(first, first + count)
    ]


class Counting:
    """A new stream of a running Sentiq, and all lines that were sent into it."""

    def __init__(self, sentiq: Launched | Stack) -> None:
        self.sentiq = sentiq
        self.name = f"s{uuid.uuid4().hex[:12]}"
        self.path = f"/streams/{self.name}"
        self.lines: list[Line] = []
        self.redis: Any = connect(f"unix://{sentiq.folder}/valkey.sock?db=0", timeout_s=5.0)
        self._job: dict[str, Any] = {}
        response = sentiq.http.put(self.path, json={"keep_sample": True})
        assert response.status_code == 201, response.text

    def send(self, lines: Sequence[Line]) -> None:
        """Sends lines as a file."""
        response = self.sentiq.http.post(
            f"{self.path}/texts",
            content=b"\n".join(map(orjson.dumps, lines)),
            headers={"Content-Type": "application/x-ndjson"},
        )
        assert response.status_code == 202, response.text
        self._job = response.json()
        self.lines += lines

    def predict(self, line: Line) -> None:
        """Sends a line to /predict, again and again until it is accepted. It needs an id."""

        def accepted() -> bool:
            response = self.sentiq.http.post("/predict", json=line | {"stream": self.name})
            assert response.status_code in (200, 202, 503), response.text
            return response.status_code != 503

        wait_until(accepted, what="a text to be accepted", timeout_s=60)
        self.lines.append(line)

    def job(self) -> dict[str, Any]:
        """The state of the file's job; empty while it cannot be told."""
        response = self.sentiq.http.get(self._job["links"]["self"])
        return dict(response.json()) if response.status_code == 200 else {}

    def wait_for(self, lines: int) -> None:
        """Waits until so many lines of the file are done; the others are not yet."""
        wait_until(lambda: self.job().get("done", 0) > lines, what=f"{lines} lines to be done", timeout_s=90)
        assert self.job()["status"] == "running", "the file was counted before anything could go wrong"

    def kill(self, words: str) -> None:
        """Kills a process by SIGKILL and waits until its end was noticed."""
        sentiq = self.sentiq
        assert isinstance(sentiq, Launched)
        pid = sentiq.member(words)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: f"(pid {pid}) ended by signal 9" in sentiq.output, what="the death to be noticed")

    def check(self) -> None:
        """Waits until the file's job has ended, and checks that each line was counted once, and where it belongs."""
        wait_until(lambda: self.job().get("status") == "succeeded", what="the job to end", timeout_s=120)
        lines = list({orjson.dumps(line): line for line in self.lines}.values())
        wait_until(lambda: self._told()["texts"] >= len(lines), what="all texts to be counted", timeout_s=60)
        wait_until(lambda: not self.redis.zcard("unacked_index"), what="all messages to be settled", timeout_s=60)
        assert (self._told()["texts"], self._told()["failed"]) == (len(lines), 0)
        assert (self.job()["done"], self.job()["failed"]) == (self.job()["total"], 0)

        kept = KeptStreams(self.redis, max_streams=10)
        stream = kept.get("", self.name)
        for segment, total in kept.totals(stream).items():
            mine = [line for line in lines if line["segment"] == segment]
            assert total.sums[0].tolist() == pytest.approx(_sums([line["text"] for line in mine]), rel=1e-9)
            (minutes,) = kept.sums(stream, [segment], NOON, NOON + 7 * 100_000, "minute").values()
            found = dict(zip(minutes.starts.tolist(), minutes.sums[:, :3].sum(1).tolist(), strict=True))
            assert found == Counter(line["time"] // 60 * 60 for line in mine)
            sample = kept.sample(stream, segment)
            assert Counter(entry.text for entry in sample) == Counter(line["text"] for line in mine)
            assert len({entry.id for entry in sample}) == len(mine)
        sets = self.redis.scan_iter(f"sentiq:s:{stream.uid}:ids:*", count=1000)
        assert sum(self.redis.scard(key) for key in sets) == sum("id" in line for line in lines)
        assert not keys_without_end(self.redis)

    def _told(self) -> dict[str, Any]:
        response = self.sentiq.http.get(self.path)
        if response.status_code != 200:
            raise httpx.TransportError(response.text)
        return dict(response.json())


def _sums(texts: list[str]) -> list[float]:
    """The Sums of these texts by the engine itself."""
    scores = np.array(direct(texts))
    negative, positive = scores[:, 0], scores[:, 2]
    counts = Counter(labels(texts))
    products = (negative, positive, negative**2, positive**2, negative * positive)
    return [*(float(counts[name]) for name in LABELS), *(float(one.sum()) for one in products)]


def test_batch_worker_killed(launch: Launch) -> None:
    """After kill -9 of the batch worker three times in the middle of a file, each line is counted once, whether it has
    an id or not; lines that repeat an id are counted nowhere.
    """
    sentiq = launch(model="stub?delay_s=0.0015").wait_until_ready()
    counting = Counting(sentiq)
    lines = made_up(2400)
    repeated = [line for line in lines if "id" in line][:300]
    counting.send(lines + repeated)
    for done in (300, 900, 1500):
        counting.wait_for(done)
        counting.kill("tasks.worker batch")
    counting.check()
    assert counting.job()["repeated"] == len(repeated)
    assert sentiq.stop() == 0


def test_interactive_worker_killed(launch: Launch) -> None:
    """After kill -9 of the interactive worker three times while it has small requests of a stream, and the batch worker
    a large one, each line is counted once.
    """
    sentiq = launch(model="stub?delay_s=0.0015").wait_until_ready()
    counting = Counting(sentiq)
    counting.send(made_up(2400))
    for turn in range(3):
        wait_until(lambda: sentiq.find("tasks.worker interactive"), what="an interactive worker", timeout_s=60)
        for part in range(4):
            counting.send(made_up(20, first=3000 + 80 * turn + 20 * part))
        counting.kill("tasks.worker interactive")
    counting.check()
    assert sentiq.stop() == 0


def test_web_killed(launch: Launch) -> None:
    """A file whose web process is killed by kill -9 while it comes in counts nothing; sent again, each line is counted
    once, though the web is killed once more while its lines are scored.
    """
    sentiq = launch(model="stub?delay_s=0.0015").wait_until_ready()
    counting = Counting(sentiq)
    lines = made_up(1600)

    def cut() -> Iterator[bytes]:
        yield from (orjson.dumps(line) + b"\n" for line in lines[:1200])
        for pid in sentiq.find_all("webapp.server")[
            1:
        ]:  # the one that reads this; the master lives, and starts another
            os.kill(pid, signal.SIGKILL)
        yield b"\n".join(map(orjson.dumps, lines[1200:]))

    with pytest.raises(httpx.TransportError):
        sentiq.http.post(f"{counting.path}/texts", content=cut(), headers={"Content-Type": "application/x-ndjson"})
    wait_until(lambda: sentiq.http.get("/health/ready").status_code == 200, what="another web", timeout_s=60)
    counting.send(lines)
    counting.wait_for(300)
    counting.kill("webapp.server")
    counting.check()
    assert counting.job()["repeated"] == 0
    assert sentiq.stop() == 0


def test_every_message_twice(make_stack: Callable[..., Stack]) -> None:
    """If every chunk is delivered twice, to two workers that score it at the same time, each line is counted once, and
    none as a repeated one.
    """
    stack = make_stack(model="stub?delay_s=0.004", WEB_CONCURRENCY=1).start("batch", "batch")
    counting = Counting(stack)
    doubler = Doubler(stack.url)
    counting.send(made_up(1200))
    counting.check()
    doubler.stop()
    assert doubler.doubled > 3
    assert counting.job()["repeated"] == 0


def test_redis_killed(launch: Launch) -> None:
    """After kill -9 of Redis three times in the middle of a file, each line is counted once, and so is each text of
    /predict that is sent again under its id until it is accepted.
    """
    sentiq = launch(model=MODEL).wait_until_ready()
    counting = Counting(sentiq)
    counting.send(made_up(2400))
    for turn, done in enumerate((200, 700, 1200)):
        counting.wait_for(done)
        counting.kill("-server")
        for line in made_up(20, first=3000 + 20 * turn, ids=True):
            counting.predict(line)
    counting.check()
    assert counting.job()["repeated"] == 0
    assert sentiq.stop() == 0
