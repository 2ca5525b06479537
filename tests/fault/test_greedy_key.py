"""A key that floods the service with jobs and callers, and another that goes on beside it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import httpx
import pytest

from benchmarks.fairness import Greed, beside
from tasks.keys import new_key
from tests.support.stack import Stack
from tests.support.texts import new_texts
from tests.support.waiting import wait_until

MODEL = "stub?delay_s=0.0012&word_s=0.00008"
"""It takes eleven times as long for the longest texts as for short ones, and sleeps meanwhile."""
JOBS, CALLERS = Greed(60, 60, 200), Greed(100, 2000)
TEXTS, CALLS = 1000, 30


class Modest:
    """A key with one job and one caller at a time."""

    def __init__(self, stack: Stack, key: str) -> None:
        self._stack = stack
        self._http = httpx.Client(
            base_url=stack.http.base_url, timeout=60, trust_env=False, headers={"Authorization": f"Bearer {key}"}
        )

    def job_s(self) -> float:
        """Seconds until a job has ended."""
        began = time.monotonic()
        answer = self._http.post("/batch_predict", json={"texts": new_texts(TEXTS)})
        assert answer.status_code == 202
        address = answer.json()["links"]["self"]

        def ended() -> bool:
            return bool(self._http.get(address, headers={"Prefer": "wait=5"}).json()["status"] == "succeeded")

        wait_until(ended, what="the job to end", timeout_s=120)
        return time.monotonic() - began

    def call_s(self) -> float:
        """The median of the seconds that calls of /predict take; none is refused."""
        waits = []
        for text in new_texts(CALLS):
            asked = time.monotonic()
            answer = self._http.post("/predict", json={"text": text})
            waits.append(time.monotonic() - asked)
            assert answer.status_code == 200, answer.text
        return statistics.median(waits)

    def waiting_texts(self) -> float:
        """The number of texts of all callers that wait."""
        return self._stack.metric("sentiment_waiting_texts")


@pytest.mark.timeout(400)
def test_greedy_key(make_stack: Callable[..., Stack]) -> None:
    """Beside a key that has 60 jobs and 100 connections with long texts at all times, another key's job takes
    hardly more than twice as long as alone, and its calls are answered within a fraction of the greedy ones' wait.

    The bounds are generous, since other load on the machine slows the second part down more than the first.
    """
    (key, entry), (greedy, its_entry) = (new_key(name, ["predict", "jobs", "admin"]) for name in ("modest", "greedy"))
    stack = make_stack(model=MODEL, WEB_CONCURRENCY=2, API_KEYS=f"{entry},{its_entry}")
    stack.start_server()
    web = stack.start_web()
    for role in ("interactive", "batch"):
        stack.start_worker(role)
    stack.http.headers["Authorization"] = f"Bearer {key}"
    modest = Modest(stack, key)
    alone = modest.job_s(), modest.call_s()
    with beside(stack.port, greedy, [JOBS, CALLERS], longest_s=240):
        wait_until(lambda: modest.waiting_texts() > 40, what="the greedy key's callers to wait", timeout_s=60)
        wait_until(
            lambda: stack.metric("sentiment_jobs_unfinished") > 40, what="the greedy key's jobs to wait", timeout_s=60
        )
        calls_s = modest.call_s()
        found = modest.job_s(), min(calls_s, modest.call_s())
    print(f"job {alone[0]:.2f} s, beside the other key {found[0]:.2f} s; call {alone[1]:.3f} s, {found[1]:.3f} s")
    assert found[0] < 2 * 1.5 * alone[0] + 2.0
    assert found[1] < 0.5
    assert web.running
