"""Processes are killed under load and restarted by the launcher: no answer is lost, and none is made up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

import httpx
import orjson
import pytest

from model.engines.registry import load_engine
from model.labels import LABELS
from model.text import clean
from tasks.store.outcomes import scored
from tests.support.launched import Launched
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
MODEL = "stub?delay_s=0.003"


def _expected(texts: list[str]) -> list[tuple[str, float]]:
    engine = load_engine(MODEL, revision=None, engine="auto", device="auto", batch_size=32, threads=1, label_map=None)
    instant = load_engine("stub", revision=None, engine="auto", device="auto", batch_size=32, threads=1, label_map=None)
    assert engine.identity.partition("@")[0] == instant.identity.partition("@")[0]
    scores = instant.score([clean(text) for text in texts])
    outcomes = [scored(row, cut) for row, cut in zip(scores.probabilities, scores.truncated, strict=True)]
    return [(LABELS[outcome.decided], outcome.confidence) for outcome in outcomes]


class Callers:
    """Callers that each send one text after another until stopped. Every answer is kept."""

    def __init__(self, port: int, count: int = 4) -> None:
        self.answers: list[tuple[str, int, dict[str, object]]] = []
        self.broken = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(port, number)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def _call(self, port: int, number: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            turn = 0
            while not self._stop.is_set():
                text = f"a good day, caller {number}, turn {turn}"
                turn += 1
                try:
                    response = http.post("/predict", json={"text": text})
                except httpx.TransportError:
                    self.broken += 1  # the web process that held this connection was killed
                    continue
                self.answers.append((text, response.status_code, response.json()))

    def stop(self) -> None:
        """Stops the callers and waits for their last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"


@pytest.mark.parametrize("victim", ["tasks.worker interactive", "tasks.worker batch", "-server", "webapp.wsgi"])
def test_kill_under_load(launch: Launch, victim: str) -> None:
    """After kill -9 during a job, with callers waiting, each line is answered once and correctly, and so are callers.

    Callers may get 202 (then their job has the answer) or, while Redis is away, 503; only a killed web process breaks
    connections.
    """
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    texts = [f"{'awful' if i % 3 else 'wonderful'} thing number {i}" for i in range(1500)]
    job = sentiq.http.post("/batch_predict", json={"texts": texts}).json()

    def progress() -> dict[str, object]:
        state: dict[str, object] = sentiq.http.get(job["links"]["self"]).json()
        return state

    callers = Callers(sentiq.port)
    wait_until(
        lambda: progress().get("done", 0) and len(callers.answers) > 20, what="job and callers to be on their way"
    )
    pid = sentiq.member(victim)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: f"(pid {pid}) ended by signal 9" in sentiq.output, what="the death to be noticed")
    wait_until(lambda: sentiq.http.get("/health").status_code == 200, what="health", timeout_s=60)
    answered = len(callers.answers)
    wait_until(lambda: len(callers.answers) > answered + 20, what="callers to be answered again", timeout_s=60)
    callers.stop()
    wait_until(lambda: progress().get("status") == "succeeded", what="the job to end", timeout_s=90)

    items = []
    page = job["links"]["results"]
    while page:
        body = sentiq.http.get(page).json()
        items += body["items"]
        page = body["next"]
    assert [item["position"] for item in items] == list(range(len(texts)))
    assert [item["text"] for item in items] == texts
    assert [(item["label"], item["confidence"]) for item in items] == _expected(texts)
    final = progress()
    assert (final["total"], final["done"], final["failed"]) == (len(texts), len(texts), 0)
    assert sum(final["labels"].values()) == len(texts)  # type: ignore[attr-defined]

    allowed = {200, 202, 503} if victim == "-server" else {200, 202}
    assert {status for _, status, _ in callers.answers} <= allowed
    assert callers.broken == 0 or victim == "webapp.wsgi"
    good = [(text, body) for text, status, body in callers.answers if status == 200]
    assert [(body["label"], body["confidence"]) for _, body in good] == _expected([text for text, _ in good])
    slow = [str(body["id"]) for _, status, body in callers.answers if status == 202]
    wait_until(
        lambda: all(sentiq.http.get(f"/jobs/{job_id}").json()["status"] == "succeeded" for job_id in slow),
        what="slow callers' jobs to end",
    )
    assert sentiq.stop() == 0


def test_batch_worker_killed_again_and_again(launch: Launch) -> None:
    """A job whose batch worker is killed three times has the same lines and counts as in an undisturbed run.

    It has 20,000 lines, a tenth of them repeated.
    """
    sentiq = launch(model="stub?delay_s=0.001").wait_until_ready()
    texts = [f"{'awful' if i % 3 else 'wonderful'} thing number {i % 18_000}" for i in range(20_000)]
    body = "".join(f"{text}\n" for text in texts)
    job = sentiq.http.post("/batch_predict", content=body, headers={"Content-Type": "text/plain"}).json()

    def done() -> int:
        return int(sentiq.http.get(job["links"]["self"]).json()["done"])

    for lines in (3_000, 8_000, 13_000):
        wait_until(lambda lines=lines: done() > lines, what=f"{lines} lines to be done", timeout_s=90)  # type: ignore[misc]
        pid = sentiq.member("tasks.worker batch")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: f"(pid {pid}) ended by signal 9" in sentiq.output, what="the death to be noticed")  # type: ignore[misc]
    wait_until(lambda: done() == len(texts), what="the job to end", timeout_s=120)
    final = sentiq.http.get(job["links"]["self"]).json()
    assert (final["status"], final["total"], final["failed"], final["duplicates"]) == ("succeeded", 20_000, 0, 2_000)
    items = [
        orjson.loads(line) for line in sentiq.http.get(f"{job['links']['results']}?format=ndjson").content.splitlines()
    ]
    assert [(item["position"], item["text"]) for item in items] == list(enumerate(texts))
    expected = _expected(texts)
    assert [(item["label"], item["confidence"]) for item in items] == expected
    assert final["labels"] == {label: sum(label == found for found, _ in expected) for label in final["labels"]}
    assert sentiq.stop() == 0
