"""All kinds of callers at once, while processes are replaced: what each met is kept, and every job is checked."""

from __future__ import annotations

import ssl
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import httpx

from tests.support.faults import expected
from tests.support.waiting import wait_until

LINES = 120
"""The lines of a job."""


def as_the_stub_says(text: str, told: dict[str, Any]) -> bool:
    """Whether a prediction is that of the stub engine."""
    return (told.get("label"), told.get("confidence")) == expected(text, None)


class Everybody:
    """Somebody who keeps a connection, somebody who makes a new one each time, somebody who sends jobs, and somebody
    who listens to each of these, and connects again when the stream ends before the job.
    """

    def __init__(
        self,
        base: str,
        *,
        pause_s: float = 0.05,
        verify: ssl.SSLContext | bool = True,
        key: str | None = None,
        place: Callable[[], AbstractContextManager[None]] = nullcontext,
        is_right: Callable[[str, dict[str, Any]], bool] = as_the_stub_says,
    ) -> None:
        """Starts them.

        Args:
            base: the address of the service.
            pause_s: the seconds that each pauses after an answer.
            verify: which certificates count, as httpx takes it.
            key: their API key.
            place: what each of their threads is in, such as another network.
            is_right: whether a text's answer is right; it is given the text and the prediction.
        """
        self._base = base
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._place = place
        self._is_right = is_right
        self._pause_s = pause_s
        self._verify = verify
        self._stop = threading.Event()
        self.met: Counter[str] = Counter()
        """How often each outcome was met: a status, `refused`, `broken`, `hung`."""
        self.wrong: list[Any] = []
        self._jobs: list[tuple[dict[str, Any], list[str]]] = []
        self._heard: set[str] = set()
        rounds = (self._keep, self._connect_anew, self._send_job, self._listen)
        self._threads = [threading.Thread(target=self._run, args=(one,), daemon=True) for one in rounds]
        for thread in self._threads:
            thread.start()

    @property
    def failures(self) -> dict[str, int]:
        """The outcomes that no caller is to meet."""
        return {kind: count for kind, count in self.met.items() if kind[0] != "2"}

    def go_on(self, answers: int = 20) -> None:
        """Waits for some more answers."""
        before = self.met.total()
        wait_until(lambda: self.met.total() >= before + answers, what="callers to be answered", timeout_s=120)

    def stop(self) -> None:
        """Ends all of them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"

    def lost(self) -> int:
        """Waits for the end of all jobs; returns how many lines have no right answer, and are in no job at all. One of
        each job is put to what is wrong.
        """
        lost = 0
        with self._place(), self._client() as http:
            for job, texts in self._jobs:
                here = f"{self._base}/jobs/{job['id']}"
                wait_until(partial(_has_ended, http, here), what="a job's end", timeout_s=120)
                items = http.get(f"{here}/results", params={"limit": 1000}).json()["items"]
                wrong = [one for one in items if one["text"] not in texts or not self._is_right(one["text"], one)]
                self.wrong += wrong[:1]
                lost += len(wrong) + len(texts) - len(items)
        return lost

    @property
    def unheard(self) -> int:
        """Of how many jobs nobody heard the end, but for the last one."""
        return len({job["id"] for job, _ in self._jobs[:-1]} - self._heard)

    @property
    def jobs(self) -> int:
        """The number of jobs."""
        return len(self._jobs)

    def _run(self, one_round: Callable[[httpx.Client], None]) -> None:
        with self._place(), self._client() as http:
            while not self._stop.wait(self._pause_s):
                try:
                    one_round(http)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    self.met["refused"] += 1
                except httpx.TimeoutException:
                    self.met["hung"] += 1
                except httpx.TransportError:
                    self.met["broken"] += 1

    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=60, trust_env=False, verify=self._verify, headers=self._headers)

    def _keep(self, http: httpx.Client) -> None:
        text = f"a good day {uuid.uuid4().hex}"
        answer = http.post(f"{self._base}/predict", json={"text": text})
        self.met[str(answer.status_code)] += 1
        if answer.status_code == 200:
            told = answer.json()
            if not self._is_right(text, told):
                self.wrong.append(told)

    def _connect_anew(self, _: httpx.Client) -> None:
        with self._client() as http:
            self._keep(http)

    def _send_job(self, http: httpx.Client) -> None:
        name = uuid.uuid4().hex
        texts = [f"{('wonderful', 'awful', 'plain')[i % 3]} {name} number {i}" for i in range(LINES)]
        answer = http.post(f"{self._base}/batch_predict", json={"texts": texts})
        self.met[str(answer.status_code)] += 1
        if answer.status_code == 202:
            job = answer.json()
            self._jobs.append((job, texts))
            wait_until(lambda: job["id"] in self._heard or self._stop.is_set(), what="its end", timeout_s=120)

    def _listen(self, http: httpx.Client) -> None:
        if not self._jobs:
            return
        job = self._jobs[-1][0]
        while job["id"] not in self._heard and not self._stop.is_set():
            with http.stream("GET", f"{self._base}/jobs/{job['id']}/events") as answer:
                self.met[str(answer.status_code)] += 1
                if answer.status_code != 200:
                    return
                if any(line == "event: end" for line in answer.iter_lines()):
                    self._heard.add(job["id"])


def _has_ended(http: httpx.Client, job: str) -> bool:
    return http.get(job).json()["status"] in ("succeeded", "failed", "cancelled")
