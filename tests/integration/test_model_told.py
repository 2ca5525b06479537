"""What is told of the model: while it is compiled, when it is ready, and in each answer."""

from __future__ import annotations

import json
import re
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoints import make, need_torch
from tests.support.stack import Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small model with three classes, in a folder."""
    need_torch()
    return make("bert", tmp_path / "small-bert")


WAITS = "waiting for another process that compiles"
STEPS = {"loading", "converting", "quantising", "checking"}


class Starting:
    """A stack whose two interactive workers start at once with a model that was never compiled."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        stack.start_server()
        stack.start_web()
        self.workers = [stack.start_worker("interactive", wait=False) for _ in range(2)]

    def steps(self) -> dict[str, dict[str, Any]]:
        """What /health says of workers that compile, by their steps."""
        answer = self.stack.http.get("/health")
        body = answer.json()
        assert answer.status_code == 503
        assert body["status"] == "unready"
        for one in body["compiling"]:
            assert (one["role"], one["model"]) == ("interactive", "small-bert")
            assert one["percent"] is None or 0 <= one["percent"] <= 100
        return {one["step"]: one for one in body["compiling"]}

    def both(self) -> dict[str, dict[str, Any]] | None:
        """The same, if one worker compiles and the other waits."""
        return found if (found := self.steps()).keys() > {WAITS} else None


@pytest.fixture
def starting(make_stack: Callable[..., Stack], checkpoint: Path) -> Starting:
    """See `Starting`."""
    return Starting(make_stack(model=str(checkpoint), WEB_CONCURRENCY=1, LOG_FORMAT="console"))


def test_compiling_is_told(starting: Starting) -> None:
    """While one worker compiles the model and the other waits for it, /health says so of both, with seconds, and the
    202 of a text, that of a batch, and the jobs say how far the model is; once the workers are ready, /health and
    /model say what serves and what the gate found, and so does one line of each log.
    """
    both = wait_until(starting.both, what="/health to say that one worker compiles and the other waits", timeout_s=90)
    (compiles,) = both.keys() - {WAITS}
    assert compiles in STEPS
    stack = starting.stack
    answer = stack.http.post("/predict", json={"text": "good"}, headers={"Prefer": "respond-async"})
    waiting = answer.json()
    told = waiting["compiling"]
    assert (answer.status_code, answer.headers["Retry-After"], told["model"]) == (202, "10", "small-bert")
    assert told["step"] in STEPS
    assert told["seconds"] >= both[compiles]["seconds"]
    taken = stack.http.post("/batch_predict", json={"texts": ["bad", "worse"]})
    assert taken.headers["Retry-After"] == "10"
    job = taken.json()
    address = job["links"]["self"]
    for one in (job, stack.http.get(address).json(), stack.http.get("/jobs").json()["items"][0]):
        assert (one["id"], one["compiling"]["model"]) == (job["id"], "small-bert")
        assert one["compiling"]["step"] in STEPS
    wait_until(
        lambda: starting.steps().get(WAITS, {"seconds": 0})["seconds"] > both[WAITS]["seconds"],
        what="the seconds to go on",
    )
    for worker in starting.workers:
        stack.wait_for_worker(worker)
    starting.workers.append(stack.start_worker("batch"))
    assert stack.ended(waiting)["status"] == "succeeded"
    assert "compiling" not in stack.http.post("/predict", json={"text": "better"}).json()
    ended = stack.ended(job)
    assert (ended["status"], "compiling" in ended) == ("succeeded", False)
    body = stack.http.get("/health").json()
    assert (body["status"], body["compiling"]) == ("ready", [])
    form = body["workers"][0]["form"]
    assert form in ("int8", "bf16", "fp32")
    assert all(worker["form"] == form and worker["gate"]["labels_equal"] >= 0.99 for worker in body["workers"])
    told_of(stack, form)
    for worker in starting.workers:
        (line,) = [line for line in worker.log.splitlines() if "ready: " in line]
        assert f"{form}; the gate: " in line
        assert re.search(r" on cpu, about \d+ texts/s; (int8|bf16|fp32); ", line)
    assert [worker.log.count("/health says how far it is") for worker in starting.workers] == [1, 1, 0]


def told_of(stack: Stack, form: str) -> None:
    """Checks what /model and an answer say of the small model, compiled to this form."""
    model = stack.http.get("/model").json()
    assert model["model"].startswith("small-bert@")
    assert (model["name"], model["form"], model["max_tokens"]) == ("small-bert", form, 128)
    assert model["classes"][0] == {"name": "negative", "label": "NEGATIVE"}
    assert (model["guessed"], model["two_class"], model["calibrated"]) == (False, False, False)
    assert [trial["form"] for trial in model["gate"] if trial["passed"]] == [form]
    assert model["gate"][-1]["texts"] == 400
    assert str(stack.environment["MODEL_NAME"]) not in stack.http.get("/model").text + stack.http.get("/health").text
    answer = stack.predict(f"good {uuid.uuid4().hex}", prefer="wait=30").json()
    assert answer["calibrated"] is False
    assert "two_class" not in answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_end_while_compiling(starting: Starting, number: signal.Signals) -> None:
    """Workers that compile, or wait for it, end at a signal at once, and leave no process behind."""
    wait_until(starting.both, what="both workers to have begun", timeout_s=90)
    makers = [pid for worker in starting.workers for pid in children(worker.pid)]
    assert makers, "no process compiles"
    for worker in starting.workers:
        worker.signal(number)
    wait_until(lambda: not any(worker.running for worker in starting.workers), what="both to end", timeout_s=5)
    assert {worker.status for worker in starting.workers} == {-number}
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in makers), what="what they started to end")
    assert not any("Traceback" in worker.log for worker in starting.workers)
    wait_until(lambda: not starting.steps(), what="their marks to expire")


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def test_two_classes(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    """Of a model with two classes, /model, each prediction, a job and its lines say that it cannot give the third."""
    need_torch()
    folder = make("distilbert", tmp_path / "two", names=("negative", "positive"))
    config = folder / "config.json"  # transformers would not save a temperature
    config.write_text(json.dumps(json.loads(config.read_text()) | {"temperature": 1.5}))
    stack = make_stack(model=str(folder), WEB_CONCURRENCY=1, ENGINE="pipeline").start("interactive", "batch")
    assert stack.http.get("/model").json()["two_class"] is True
    flags = {"calibrated": True, "two_class": True}
    text = f"good {uuid.uuid4().hex}"
    for _ in ("fresh", "cached"):
        answer = stack.predict(text, prefer="wait=30").json()
        assert {name: answer.get(name) for name in flags} == flags
        assert answer["scores"]["NEUTRAL"] == 0
    job = stack.ended(stack.submit([text, *new_texts(2)]))
    assert {name: job.get(name) for name in flags} == flags
    assert all({name: item.get(name) for name in flags} == flags for item in stack.items(job))
    lines = stack.http.get(f"{job['links']['results']}?format=ndjson").text
    assert lines.count('"two_class":true') == 3


def test_worker_of_the_version_before(make_stack: Callable[..., Stack]) -> None:
    """While the workers tell nothing of their model, /model says null and answers leave it out."""
    stack = make_stack(WEB_CONCURRENCY=1).start("interactive")
    worker = stack.workers[0]
    wait_until(lambda: stack.http.get("/model").json()["form"] == "stub", what="the worker to tell of its model")
    assert stack.predict(f"good {uuid.uuid4().hex}").json()["calibrated"] is False
    assert stack.web is not None
    worker.signal(signal.SIGSTOP)  # it renews its mark no more
    stack.web.terminate()
    for key in stack.redis.scan_iter("sentiq:worker:*"):
        stack.redis.delete(key)  # of its two marks, the one that the version before writes is left
    for key in stack.redis.scan_iter("sentiq:w:*"):
        stack.redis.expire(key, 60)
    stack.start_web()
    model = stack.http.get("/model").json()
    assert model["model"] == "stub@1/stub"
    assert {model[name] for name in ("name", "form", "classes", "two_class", "calibrated", "gate")} == {None}
    (told,) = stack.http.get("/health").json()["workers"]
    assert (told["form"], told["gate"]) == (None, None)


def rate_of(stack: Stack, role: str) -> float:
    """The rate of the worker of this role, as /health has it."""
    (rate,) = [one["texts_per_s"] for one in stack.http.get("/health").json()["workers"] if one["role"] == role]
    return float(rate)


@pytest.mark.parametrize("words", [3, 60])
def test_rate_follows_the_work(make_stack: Callable[..., Stack], words: int) -> None:
    """The rate that a worker tells is that of tweets at first, and then that of the texts that it really gets: higher
    for short ones, lower for long ones of the same cost.
    """
    stack = make_stack(model="stub?word_s=0.0005", WEB_CONCURRENCY=1).start("batch")
    first = rate_of(stack, "batch")
    assert 60 < first < 200, "tweets have about 15 words"
    text = "a " * (words - 1)
    stack.submit([f"{text}{number}" for number in range(4000 if words == 3 else 600)])
    wait_until(
        lambda: rate_of(stack, "batch") > 1.5 * first if words == 3 else rate_of(stack, "batch") < 0.7 * first,
        what="the rate to follow",
        timeout_s=60,
    )
