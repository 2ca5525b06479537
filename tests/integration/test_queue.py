"""What operators do with the queues: see what waits, cancel all jobs, empty the queues, ask the workers by Celery."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasks.keys import digest
from tests.e2e.test_cli import Terminal
from tests.support.keys import keys_without_end
from tests.support.stack import SLOW_STUB, Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until

KEYS = {"ann": "ann-and-only-ann", "bob": "bob-and-only-bob", "ops": "ops-may-do-all"}
ENTRIES = " ".join(f"{name}:{'admin' if name == 'ops' else 'predict+jobs'}:{digest(key)}" for name, key in KEYS.items())


@pytest.fixture(scope="module")
def _idle() -> Iterator[Stack]:
    stack = Stack(WEB_CONCURRENCY=1, API_KEYS=ENTRIES, PREDICT_TIMEOUT=0.2, model="stub")
    stack.start()
    yield stack
    stack.close()


@pytest.fixture
def idle(_idle: Stack) -> Iterator[Stack]:
    """A service with keys and without a worker, on an empty server. A key without a TTL fails the test."""
    _idle.redis.flushall()
    yield _idle
    assert not keys_without_end(_idle.redis)


def as_(name: str) -> dict[str, str]:
    """The headers of a request with the key of this name."""
    return {"Authorization": f"Bearer {KEYS[name]}"}


def submitted(stack: Stack, name: str, texts: list[str]) -> str:
    """The id of a job of this key."""
    answer = stack.http.post("/batch_predict", json={"texts": texts}, headers=as_(name))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def status(stack: Stack, job: str) -> str:
    """How far a job is."""
    return str(stack.http.get(f"/jobs/{job}", headers=as_("ops")).json()["status"])


def sentiq(stack: Stack, name: str, *words: str, exit: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs the command with the key of this name."""
    done = subprocess.run(
        [sys.executable, "-m", "webapp.client.cli", *words],
        env=stack.environment | {"SENTIQ_URL": str(stack.http.base_url), "SENTIQ_API_KEY": KEYS.get(name, "")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == exit, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_what_waits(idle: Stack) -> None:
    """`GET /queue` and `sentiq queue` tell texts of callers and jobs that wait, by key, the oldest first; only to an
    admin's key.
    """
    submitted(idle, "ann", new_texts(3))
    submitted(idle, "ann", new_texts(4))
    submitted(idle, "bob", new_texts(5))
    text = f"good {uuid.uuid4().hex}"
    assert idle.http.post("/predict", json={"text": text}, headers=as_("bob")).status_code == 202
    rows = idle.http.get("/queue", headers=as_("ops")).json()["items"]
    found = {(row["queue"], row["owner"]): (row["model"], row["jobs"], row["texts"]) for row in rows}
    assert found == {
        ("batch", "ann"): ("*", 2, 7),
        ("batch", "bob"): ("*", 2, 6),  # with the one that the text of /predict became
        ("interactive", "bob"): ("*", 0, 1),
    }
    ages = [row["oldest_s"] for row in rows]
    assert ages == sorted(ages, reverse=True)
    assert 0 <= ages[-1] <= ages[0] < 600
    assert idle.http.get("/queue", headers=as_("ann")).status_code == 403
    lines = [line.split() for line in sentiq(idle, "ops", "queue").stdout.splitlines()]
    assert lines[0] == ["queue", "key", "jobs", "texts", "oldest"]
    assert sorted(line[:4] for line in lines[1:]) == [
        ["batch", "ann", "2", "7"],
        ["batch", "bob", "2", "6"],
        ["interactive", "bob", "-", "1"],
    ]
    told = [json.loads(line) for line in sentiq(idle, "ops", "queue", "--json").stdout.splitlines()]
    assert {(one["queue"], one["owner"]): (one["model"], one["jobs"], one["texts"]) for one in told} == found
    assert "scope" in sentiq(idle, "ann", "queue", exit=1).stderr
    idle.redis.flushall()
    assert sentiq(idle, "ops", "queue").stdout == "Nothing waits.\n"


def test_purge(idle: Stack) -> None:
    """`sentiq queue purge` cancels the jobs of all keys and leaves no message; nobody but an admin may, and without a
    terminal not without `--yes`. What comes in afterwards is scored, also a text whose message was removed.
    """
    jobs = [submitted(idle, name, new_texts(600)) for name in ("ann", "bob", "bob")]
    text = f"good {uuid.uuid4().hex}"
    assert idle.http.post("/predict", json={"text": text}, headers=as_("bob")).status_code == 202
    assert idle.redis.llen("interactive") == 1
    assert "say --yes" in sentiq(idle, "ops", "queue", "purge", exit=2).stderr
    assert "scope" in sentiq(idle, "ann", "queue", "purge", "--yes", exit=1).stderr
    assert {status(idle, job) for job in jobs} == {"queued"}
    done = json.loads(sentiq(idle, "ops", "queue", "purge", "--yes", "--json").stdout)
    assert done["cancelled_jobs"] == 4
    assert done["removed_messages"] >= 2
    assert {status(idle, job) for job in jobs} == {"cancelled"}
    assert idle.http.get("/queue", headers=as_("ops")).json() == {"items": []}
    assert not [name for name in idle.redis.keys("*") if name.startswith((b"interactive", b"batch"))]
    workers = [idle.start_worker(role) for role in ("interactive", "batch")]
    after = submitted(idle, "ann", [text, *new_texts(3)])
    wait_until(lambda: status(idle, after) == "succeeded", what="a job of after the purge", timeout_s=60)
    wait_until(
        lambda: idle.http.post("/predict", json={"text": text}, headers=as_("bob")).status_code == 200,
        what="the text whose message was removed",
        timeout_s=60,
    )
    for worker in workers:
        worker.terminate()


def test_cancelling_all_jobs(idle: Stack) -> None:
    """`sentiq jobs cancel --all` cancels the jobs that the key sees and that have not ended, and says how many."""
    mine, others = [submitted(idle, "ann", new_texts(2)) for _ in range(3)], submitted(idle, "bob", new_texts(2))
    assert "say --all" in sentiq(idle, "ann", "jobs", "cancel", exit=2).stderr
    assert "say --yes" in sentiq(idle, "ann", "jobs", "cancel", "--all", exit=2).stderr
    assert {status(idle, job) for job in (*mine, others)} == {"queued"}
    assert sentiq(idle, "ann", "jobs", "cancel", "--all", "--yes").stdout == "Cancelled 3 jobs.\n"
    assert {status(idle, job) for job in mine} == {"cancelled"}
    assert status(idle, others) == "queued"
    assert "none is under way" in sentiq(idle, "ann", "jobs", "cancel", "--all").stdout
    told = sentiq(idle, "ops", "jobs", "cancel", "--all", "--yes", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in told] == [others]


def test_people_are_asked_first(idle: Stack, tmp_path: Path) -> None:
    """At a terminal, both commands say what they would end and ask: nothing happens without a yes."""
    environment = idle.environment | {
        "SENTIQ_URL": str(idle.http.base_url), "SENTIQ_API_KEY": KEYS["ops"], "TERM": "dumb"
    }  # fmt: skip
    command = [sys.executable, "-m", "webapp.client.cli"]
    jobs = [submitted(idle, name, ["good"]) for name in ("ann", "bob")]
    for words, question in (
        (["jobs", "cancel", "--all"], "Cancel 2 jobs of 2 keys?"),
        (["queue", "purge"], "and empty"),
    ):
        terminal = Terminal([*command, *words], tmp_path, environment)
        terminal.wait_for(re.escape(question))
        terminal.type("n\n")
        assert "nothing was done" in terminal.ended(1)
        assert {status(idle, job) for job in jobs} == {"queued"}
    terminal = Terminal([*command, "queue", "purge"], tmp_path, environment)
    terminal.wait_for(r"Cancel 2 jobs of 2 keys, and empty the queues\?")
    terminal.type("y\n")
    assert "Cancelled 2 jobs" in terminal.ended()
    assert {status(idle, job) for job in jobs} == {"cancelled"}


def celery(stack: Stack, *words: str) -> str:
    """Runs a command of Celery in the service's environment; returns what it prints, or nothing if no worker answered
    in time.
    """
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "tasks.app", *words, "--timeout", "3"],
        cwd=stack.root,
        env=stack.environment | {"CELERY_BROKER_URL": stack.url, "CELERY_RESULT_BACKEND": stack.url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0 or "No nodes replied" in done.stdout + done.stderr, done.stdout + done.stderr
    return done.stdout if done.returncode == 0 else ""


def test_celery_inspects(make_stack: Callable[..., Stack]) -> None:
    """`celery -A tasks.app inspect active` tells what each worker is at, without the texts."""
    stack = make_stack(WEB_CONCURRENCY=1, model="stub")
    stack.start_server()
    stack.start_web()
    worker = stack.start_worker("batch", visibility_s=2, change=SLOW_STUB)
    wait_until(lambda: "1 node online" in celery(stack, "inspect", "ping"), what="the worker to answer", timeout_s=90)
    # Each takes seven seconds, so that on a busy machine, too, one of them is under way when the command asks.
    jobs = [stack.submit([f"slow and good {uuid.uuid4().hex}"])["id"] for _ in range(12)]

    def active() -> str | None:
        told = celery(stack, "inspect", "active", "--json")
        return told if told and any(json.loads(told).values()) else None

    told = wait_until(active, what="a chunk to be under way", timeout_s=80)
    ((name, tasks),) = json.loads(told).items()
    assert name.startswith("batch-")
    assert f"-{worker.pid}-" in name
    assert {task["name"] for task in tasks} == {"score"}
    assert {task["id"].partition(".")[0] for task in tasks} <= set(jobs)
    assert "slow and good" not in told
    for job in jobs:
        stack.http.delete(f"/jobs/{job}")
