"""A rolling upgrade: the version before and this one run side by side on one Redis.

There are web processes of both versions, with callers and jobs, and first the workers of the earlier version, then
those of both, and then those of the later one.
"""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.store.presence import mark_keys
from tests.support.faults import PREDICT_TIMEOUT_S, Load, expected
from tests.support.stack import ROOT, Stack
from tests.support.waiting import wait_until

PREVIOUS = "d5006e6cc7d8790a46ea702dfe218c1e1a04e00c"
"""The commit of the version before."""
WITH_STREAMS = "8999a26a296f33d694721d8c2724bc2a7aab4aac"
"""The commit of an earlier state of this version, which has streams; the version before has none."""
MODEL = "stub?delay_s=0.004"
"""A stub of about 250 texts per second."""
LINES, REPEATED = 600, 60
"""The lines of a job, and how many of them repeat a text of an earlier page, whose chunk may be done by then."""


class Earlier(Stack):
    """A stack of the version before."""

    gunicorn_conf = "webapp/gunicorn_conf.py"


@pytest.fixture(scope="module")
def earlier_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the version before, from the repository's history."""
    return code_of(PREVIOUS, tmp_path_factory.mktemp("earlier"))


@pytest.fixture(scope="module")
def code_with_streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the state that has streams."""
    return code_of(WITH_STREAMS, tmp_path_factory.mktemp("streams"))


def code_of(commit: str, folder: Path) -> Path:
    """The code of a commit, put into a folder."""
    archive = subprocess.run(
        ["git", "archive", commit, "--", "celeryconfig.py", "model/*.py", "tasks", "webapp"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        reason = f"needs the history back to commit {commit[:7]}: {archive.stderr.decode().strip()}"
        if os.environ.get("CI") == "true" and not _shallow():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


def _shallow() -> bool:
    command = ["git", "rev-parse", "--is-shallow-repository"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() == "true"


@pytest.fixture
def later() -> Iterator[Stack]:
    """The server of both versions, with the web of this version."""
    stack = Stack(model=MODEL, WEB_CONCURRENCY=1, PREDICT_TIMEOUT=PREDICT_TIMEOUT_S)
    try:
        stack.start_server()
        stack.start_web()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def earlier(later: Stack, earlier_code: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The web of the version before, on the same server."""
    monkeypatch.setattr(Earlier, "root", earlier_code)
    stack = Earlier(model=MODEL, url=later.url, WEB_CONCURRENCY=1, PREDICT_TIMEOUT=PREDICT_TIMEOUT_S)
    try:
        stack.start_web()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def earlier_streams(later: Stack, code_with_streams: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The web of the earlier state that has streams, on the same server."""
    monkeypatch.setattr(Earlier, "root", code_with_streams)
    stack = Earlier(model=MODEL, url=later.url, WEB_CONCURRENCY=1, PREDICT_TIMEOUT=PREDICT_TIMEOUT_S)
    stack.gunicorn_conf = later.gunicorn_conf
    try:
        stack.start_web()
        yield stack
    finally:
        stack.close()


class Jobs:
    """Jobs submitted to the web of either version, and read from both."""

    def __init__(self, *webs: Stack) -> None:
        self._webs = webs
        self._submitted: list[tuple[dict[str, Any], list[str]]] = []

    def submit(self) -> None:
        """Submits a job to each web."""
        for web in self._webs:
            words, name = ("wonderful", "awful", "plain"), uuid.uuid4().hex
            texts = [f"{words[i % 3]} {name} number {i % (LINES - REPEATED)}" for i in range(LINES)]
            self._submitted.append((web.submit(texts), texts))

    def check(self) -> None:
        """Checks that each line has the right answer, once, at both webs."""
        for job, texts in self._submitted:
            for web in self._webs:
                done = web.ended(job, timeout_s=120)
                assert (done["status"], done["total"], done["done"], done["failed"]) == ("succeeded", LINES, LINES, 0)
                assert (sum(done["labels"].values()), done["duplicates"]) == (LINES, REPEATED)
                items = web.items(job)
                assert [(item["position"], item["text"]) for item in items] == list(enumerate(texts))
                for item in items:
                    assert (item["label"], item["confidence"]) == expected(item["text"], item["model"]), item


class Callers:
    """Callers of one version's web."""

    def __init__(self, web: Stack) -> None:
        """Starts the callers."""
        self._web = web
        self._load = Load(web.port, callers=2, pause_s=0.05)

    def go_on(self, workers: int) -> None:
        """Waits until the web knows this number of workers and the callers are answered."""

        def known() -> bool:
            return len(self._web.http.get("/health/ready").json()["workers"]) == workers

        wait_until(known, what=f"{workers} workers to be known")
        since = time.monotonic()
        wait_until(
            lambda: sum(answer.kind == "200" for answer in self._load.between(since)) > 40,
            what="callers to be answered",
        )

    def check(self) -> None:
        """Checks that all callers got the right answer, directly or through a job."""
        self._load.stop()
        assert {answer.kind for answer in self._load.answers} <= {"200", "202"}
        for answer in self._load.answers:
            told = answer.body
            if answer.kind == "202":
                (told,) = self._web.items(self._web.ended(told))
            assert told["text"] == answer.text
            assert (told["label"], told["confidence"]) == expected(answer.text, told["model"])


@pytest.mark.timeout(400)
def test_rolling_upgrade(earlier: Stack, later: Stack) -> None:
    """With workers of either version or both, callers and jobs of both webs are answered: none lost, doubled or wrong.

    The web of each version knows the workers and the jobs of the other.
    """
    webs = earlier, later
    # The earlier workers alone.
    retiring = [earlier.start_worker(role) for role in ("interactive", "batch")]
    jobs, callers = Jobs(*webs), [Callers(web) for web in webs]
    assert not later.redis.exists(*(mark_keys(worker)[0] for worker in worker_ids(later)))
    jobs.submit()
    for caller in callers:
        caller.go_on(2)
    # All of them.
    for role in ("interactive", "batch"):
        later.start_worker(role)
    assert later.redis.exists(*(mark_keys(worker)[0] for worker in worker_ids(later))) == 2
    scored = [web.texts_scored() for web in webs]
    jobs.submit()
    for caller in callers:
        caller.go_on(4)
    wait_until(
        lambda: all(web.texts_scored() > before + 100 for web, before in zip(webs, scored, strict=True)),
        what="texts scored by workers of each version",
    )
    cancelled = [web.submit([f"never {uuid.uuid4().hex}" for _ in range(3000)]) for web in webs]
    for web, job in zip(reversed(webs), cancelled, strict=True):
        assert web.http.delete(job["links"]["self"]).status_code == 202
    # The later ones alone, with what an earlier one had begun.
    jobs.submit()
    for worker in retiring:
        worker.terminate() if worker.name == "interactive" else worker.kill()
    for caller in callers:
        caller.go_on(2)
    jobs.check()
    for caller in callers:
        caller.check()
    for web in webs:
        assert [web.ended(job)["status"] for job in cancelled] == ["cancelled"] * 2


def worker_ids(stack: Stack) -> list[str]:
    """The ids of the workers, of either version, that have announced that they are ready."""
    return [worker.decode() for worker in stack.redis.smembers("sentiq:workers")]


@pytest.mark.parametrize("order", [1, -1], ids=["earlier first", "later first"])
def test_idempotency_keys(earlier: Stack, later: Stack, order: int) -> None:
    """A request repeated at the web of the other version gets the same job; another request with its key is refused."""
    first, second = (earlier, later)[::order]
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    made = first.http.post("/batch_predict", json={"texts": ["good", "bad"]}, headers=headers)
    again = second.http.post("/batch_predict", json={"texts": ["good", "bad"]}, headers=headers)
    assert (made.status_code, again.status_code) == (202, 202)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["id"] == made.json()["id"]
    assert second.http.post("/batch_predict", json={"texts": ["good"]}, headers=headers).status_code == 409


@pytest.mark.timeout(300)
def test_streams(earlier_streams: Stack, later: Stack) -> None:
    """Texts that the web of either state takes into a stream are each counted once, whichever state's workers score
    them; both webs tell the same of the stream, and what either labels or deletes is labelled or gone for both.
    """
    webs = earlier_streams, later
    path = f"/streams/s{uuid.uuid4().hex[:12]}"
    assert earlier_streams.http.put(path, json={"keep_sample": True}).status_code == 201
    retiring = [earlier_streams.start_worker(role) for role in ("interactive", "batch")]
    sent = set[str]()

    def send() -> None:
        """Sends a large request and a small one to each web; a fourth of the ids were sent before."""
        jobs = []
        for web in webs:
            for count in (200, 8):
                old = list(sent)[: count // 4]
                ids = [*old, *(uuid.uuid4().hex for _ in range(count - len(old)))]
                sent.update(ids)
                rows = [{"text": f"good {id}", "id": id, "segment": "ab"[place % 2]} for place, id in enumerate(ids)]
                answer = web.http.post(f"{path}/texts", json={"texts": rows})
                assert answer.status_code == 202, answer.text
                jobs.append(answer.json())
        for job in jobs:
            for web in webs:
                assert web.ended(job)["status"] == "succeeded"

    send()
    for role in ("interactive", "batch"):
        later.start_worker(role)
    send()
    for worker in retiring:
        worker.terminate()
    send()
    for web in webs:
        told = web.http.get(path).json()
        assert (told["texts"], told["failed"]) == (len(sent), 0)
        assert sum(segment["texts"] for segment in told["segments"]) == len(sent)
        assert sum(item["texts"] for item in web.http.get(f"{path}/series").json()["items"]) == len(sent)
        (given,) = web.http.get(f"{path}/sample", params={"limit": 1, "by": str(web.port)}).json()["items"]
        answer = web.http.post(f"{path}/labels", json={"labels": [{"id": given["id"], "label": "POSITIVE"}]})
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    assert later.http.delete(path).status_code == 204
    assert [web.http.get(path).status_code for web in webs] == [404, 404]
    assert not list(later.redis.scan_iter("sentiq:s:*", count=1000))
