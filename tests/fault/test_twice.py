"""Duplicates: every message is delivered twice, and a worker of another model has the same name."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
import redis as redis_py

from model.labels import LABELS
from model.text import clean
from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.store.connections import connect
from tasks.store.outcomes import Scored, digest
from tasks.wire import read_cached
from tests.support.faults import MODEL, OTHER_MODEL, OTHER_WORKER, Trial, expected
from tests.support.launched import Launched
from tests.support.stack import ROOT, Process
from tests.support.waiting import wait_until

Launch = Callable[..., Launched]
_ARGUMENT = re.compile(r'"(?:[^"\\]|\\.)*"')


class Doubler:
    """Pushes every message that comes into a queue a second time, with another delivery tag."""

    def __init__(self, url: str) -> None:
        """Starts to watch the queues."""
        self.doubled = 0
        self._own: set[str] = set()
        self._client = cast("Any", connect(url, timeout_s=30))
        self._connection = self._client.connection_pool.get_connection()
        self._connection.send_command("MONITOR")
        assert self._connection.read_response() == b"OK"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                line = self._connection.read_response().decode("utf-8", "surrogateescape")
            except (redis_py.RedisError, ValueError, OSError):
                return
            arguments = [ast.literal_eval(f"b{quoted}") for quoted in _ARGUMENT.findall(line.partition("]")[2])]
            if (
                len(arguments) == 3
                and arguments[0].upper() in (b"LPUSH", b"RPUSH")
                and arguments[1][:5] in (b"inter", b"batch")
            ):
                self._double(arguments[1], json.loads(arguments[2]))

    def _double(self, queue: bytes, message: dict[str, dict[str, str]]) -> None:
        if message["properties"]["delivery_tag"] in self._own:
            return
        message["properties"]["delivery_tag"] = tag = str(uuid.uuid4())
        self._own.add(tag)
        self._client.rpush(queue, json.dumps(message))
        self.doubled += 1

    def stop(self) -> None:
        """Stops watching."""
        self._connection.disconnect()
        self._thread.join(10)
        self._client.close()


def test_every_message_twice(launch: Launch) -> None:
    """If every chunk is delivered twice, each line of a job still counts once, and callers get the same answers."""
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial("every message delivered twice", sentiq)
    doubler = Doubler(f"unix://{sentiq.folder}/valkey.sock?db=0")
    trial.begin()
    trial.strikes()
    trial.end(allowed=set(), prompt_known=True)
    doubler.stop()
    # Callers' chunks, and those of the job with half a second of work each.
    assert doubler.doubled > 20
    trial.finish()


@pytest.mark.parametrize("roles", [("interactive", "batch")], ids=["both roles"])
def test_worker_of_another_model_joins(launch: Launch, roles: tuple[str, ...]) -> None:
    """When a worker with another model of the same name joins, every answer is that of the model that it names.

    That holds for fresh and cached answers: no model's cache has a prediction of the other.
    """
    sentiq = launch(model=MODEL, WEB_CONCURRENCY=2).wait_until_ready()
    trial = Trial("a worker of another model joins", sentiq).begin()
    (redis,) = trial.servers
    environment = {
        "PATH": os.environ["PATH"],
        "REDIS_URL": f"unix://{sentiq.folder}/valkey.sock?db=0",
        "MODEL_NAME": MODEL,
        "DATA_DIR": "/nonexistent",
        "ENGINE_THREADS": "1",
        PARENT_VARIABLE: str(os.getpid()),
        "PYTHONPATH": str(ROOT),
    }
    others = []
    trial.strikes()
    try:
        for role in roles:
            script = OTHER_WORKER.format(identity=OTHER_MODEL, role=role)
            others.append(
                Process(
                    role,
                    lambda out, script=script: subprocess.Popen(  # type: ignore[misc]
                        [sys.executable, "-c", script], cwd=ROOT, env=environment, stdout=out, stderr=out
                    ),
                    sentiq.folder / f"other-{role}.log",
                )
            )
        assert trial.load is not None
        load = trial.load

        def named(model: str) -> bool:
            return [answer.body.get("model") for answer in load.answers[-100:]].count(model) > 5

        wait_until(lambda: named(OTHER_MODEL), what="answers of the other model", timeout_s=60)
        trial.submit()  # a job while both are there
        wait_until(lambda: trial.progress().get("done", 0) == len(trial.texts), what="the job to end", timeout_s=90)
        for other in others:
            other.terminate()
            assert other.status == 0
        wait_until(lambda: named("stub@1/stub"), what="answers of the first model again")
        trial.over()
        trial.end(allowed=set())
        texts = {digest(clean(text)): text for text in [*trial.texts, *(answer.text for answer in load.answers)]}
        checked = 0
        for key in redis.scan_iter("sentiq:p:*", count=1000):
            _, _, rest = key.decode().partition("sentiq:p:")
            model, _, of = rest.rpartition(":")
            if of not in texts or (value := redis.get(key)) is None:
                continue
            outcome = read_cached(value)
            assert isinstance(outcome, Scored), key
            assert (LABELS[outcome.decided], outcome.confidence) == expected(texts[of], model), key
            checked += 1
        assert checked > 100
        trial.finish()
    finally:
        for other in others:
            other.kill()
