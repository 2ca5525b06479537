"""Faults under load: runs callers and a job through a fault, checks every answer, and records the effect.

Each trial writes a file into `build/faults/`; `python -m tests.support.faults` prints them as the table of
`docs/faults.md`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import orjson

from model.engines.stub import StubEngine
from model.labels import LABELS
from model.text import clean
from tasks.store.connections import connect
from tasks.store.outcomes import scored
from tests.support.keys import keys_without_end
from tests.support.launched import Launched
from tests.support.stack import ROOT
from tests.support.waiting import wait_until

FIGURES = ROOT / "build" / "faults"
MODEL = "stub?delay_s=0.003"
"""A stub of about 300 texts per second, so that a fault happens while chunks are under way."""
OTHER_MODEL = "stub@other/stub"
OTHER_WORKER = """
from model.engine import Scores
from model.engines.stub import StubEngine
score = StubEngine.score
def other(self, texts):
    scores = score(self, texts)
    return Scores(scores.probabilities[:, ::-1].copy(), scores.truncated, scores.work, scores.unread)
StubEngine.score = other
StubEngine.identity = property(lambda self: "{identity}", lambda self, given: None)
from tasks.worker import main
main(["{role}"])
"""
"""The code of a worker whose model has the same tag but another identity, and swaps positive and negative."""
PREDICT_TIMEOUT_S = 2.0
LIMIT_S = PREDICT_TIMEOUT_S + 3.0
"""The longest wait of any caller of /predict: the timeout, plus two requests to a Redis that may be away."""
REDELIVERY_S = 10.0
"""The longest time until another worker has a dead worker's chunks."""
PROMPT_S = 1.0
"""The longest time that a good answer takes."""
_CALM_S = 2.0

_known = [f"a good evening with number {number}" for number in range(5)]
_trial_numbers = itertools.count(int(time.time()))


@cache
def expected(text: str, model: str | None) -> tuple[str, float]:
    """The label and confidence that the stub engine gives a text; for `OTHER_MODEL`, with the scores reversed."""
    scores = StubEngine().score([clean(text)])
    row = scores.probabilities[0].tolist()
    outcome = scored(row[::-1] if model == OTHER_MODEL else row, bool(scores.truncated[0]))
    return LABELS[outcome.decided], outcome.confidence


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer that one caller got, and when."""

    text: str
    known: bool
    """Whether the text was answered before the fault, so that it is in the cache and in a web process's memory."""
    kind: str
    """The status, or `refused` (no connection was made), `broken` (it was lost), `hung` (nothing came)."""
    began_at: float
    """The time of the request, in monotonic seconds."""
    took_s: float
    body: dict[str, Any]

    @property
    def good(self) -> bool:
        """Whether the answer is as good as without any fault."""
        return self.kind == "200" and self.took_s < PROMPT_S


class _Clock(threading.Thread):
    """Notices the times when this whole process was kept from running, which must not count as a caller's wait."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self.gaps: list[tuple[float, float]] = []

    def run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(0.05):
            now = time.monotonic()
            if now - last > 1.0:
                self.gaps.append((last, now))
            last = now

    def end(self) -> None:
        self._ended.set()
        self.join()

    def without_gaps(self, began_at: float, ended_at: float) -> float:
        """Seconds between two times, without those in which this process did not run."""
        lost = sum(max(0.0, min(ended_at, until) - max(began_at, since)) for since, until in self.gaps)
        return ended_at - began_at - lost


class Load:
    """Callers that each send one text after another, a third of them known texts. Every answer is kept."""

    def __init__(self, port: int, *, callers: int = 4, pause_s: float = 0.01) -> None:
        """Starts the callers; each pauses for `pause_s` after an answer."""
        self._pause_s = pause_s
        self.answers: list[Answer] = []
        self.callers = callers
        self._number = next(_trial_numbers)
        self._stop = threading.Event()
        self._clock = _Clock()
        self._clock.start()
        self._threads = [
            threading.Thread(target=self._call, args=(port, number), daemon=True) for number in range(callers)
        ]
        for thread in self._threads:
            thread.start()

    def _call(self, port: int, caller: int) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            for turn in itertools.count():
                known = turn % 3 == 2
                text = (
                    _known[turn % len(_known)]
                    if known
                    else f"a good day, load {self._number}, caller {caller}, turn {turn}"
                )
                self._ask(http, text, known=known)
                if self._stop.wait(self._pause_s):
                    return

    def _ask(self, http: httpx.Client, text: str, *, known: bool) -> None:
        began_at = time.monotonic()
        body: dict[str, Any] = {}
        try:
            response = http.post("/predict", json={"text": text})
            kind, body = str(response.status_code), response.json()
        except (httpx.ConnectError, httpx.ConnectTimeout):
            kind = "refused"
        except httpx.TimeoutException:
            kind = "hung"
        except httpx.TransportError:
            kind = "broken"
        except ValueError:
            kind = "no JSON"
        took_s = self._clock.without_gaps(began_at, time.monotonic())
        self.answers.append(Answer(text, known, kind, began_at, took_s, body))

    def between(self, since: float, until: float = 1e18) -> list[Answer]:
        """The answers that came between two times."""
        return [answer for answer in list(self.answers) if since <= answer.began_at + answer.took_s <= until]

    def seconds(self, since: float, until: float) -> float:
        """Seconds between two times, without those in which this process did not run."""
        return self._clock.without_gaps(since, until)

    def rate(self, since: float, until: float) -> float:
        """Good answers per second between two times."""
        return sum(answer.good for answer in self.between(since, until)) / (until - since)

    def stop(self) -> None:
        """Stops the callers and waits for their last answers."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller hangs"
        self._clock.end()


@dataclass
class Figures:
    """The result of a trial: a row of the table."""

    fault: str
    in_flight: str
    answers: int
    """The number of answers that callers got from the fault on."""
    lost: int
    """Accepted lines of jobs and texts of callers that never got an answer."""
    doubled: int
    wrong: int
    told: dict[str, int]
    """The number of answers other than 200, by kind."""
    longest_s: float
    """The longest wait of a caller."""
    redelivered_s: float | None
    """Seconds from a worker's death until other workers had its chunks."""
    recovered_s: float
    """Seconds from the fault (or its end, if it lasts) until callers were answered as before."""


def lasts(seconds: float) -> None:
    """Waits while a fault lasts."""
    until = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > until, what="the fault to last", timeout_s=seconds + 30)


class Trial:
    """One fault in a Sentiq under load: call `begin`, cause the fault, then call `end`, which checks everything."""

    def __init__(
        self, fault: str, sentiq: Launched, *, lines: int = 2500, urls: tuple[str, ...] = (), callers: int = 4
    ) -> None:
        """Starts nothing yet.

        Args:
            fault: the name of the fault in the table.
            sentiq: the running Sentiq.
            lines: the number of lines of the job.
            urls: the URLs of the Redis servers, the broker's last; by default that of the embedded server.
            callers: the number of callers.
        """
        self.fault = fault
        self.sentiq = sentiq
        self.servers: list[Any] = [
            connect(url, timeout_s=5.0) for url in urls or (f"unix://{sentiq.folder}/valkey.sock?db=0",)
        ]
        self.load: Load | None = None
        self.texts: list[str] = []
        self.job: dict[str, Any] = {}
        self.redelivered_s: float | None = None
        self._lines = lines
        self._callers = callers
        self._rate_before = 0.0
        self._fault_at = 0.0
        self._over_at: float | None = None
        self._held = 0
        self._processes: Counter[str] = Counter()

    # Before

    def begin(self) -> Trial:
        """Starts callers and a job, and returns when both make progress."""
        number = next(_trial_numbers)
        self.texts = [
            f"{'awful' if i % 3 else 'wonderful'} thing {number} number {i % (self._lines - 100)}"
            for i in range(self._lines)
        ]
        for text in _known * 8:  # so that each web process has seen them
            assert self.sentiq.http.post("/predict", json={"text": text}).status_code in (200, 202)
        self._processes = self.processes()
        self.load = load = Load(self.sentiq.port, callers=self._callers)
        since = time.monotonic()
        wait_until(
            lambda: time.monotonic() > since + _CALM_S and len(load.answers) > 40,
            what="callers to be on their way",
            timeout_s=60,
        )
        self._rate_before = load.rate(since, time.monotonic())
        self.submit()
        wait_until(lambda: self.progress().get("done", 0) > 0, what="the job to be on its way", timeout_s=60)
        return self

    def submit(self) -> None:
        """Submits the job."""
        body = "".join(f"{text}\n" for text in self.texts)
        response = self.sentiq.http.post("/batch_predict", content=body, headers={"Content-Type": "text/plain"})
        assert response.status_code == 202, response.text
        self.job = response.json()

    def processes(self) -> Counter[str]:
        """How many processes run each command."""
        commands: Counter[str] = Counter()
        for pid in self.sentiq.members():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[0] and b"sh" not in words[0]:
                commands[b" ".join(words[:5]).decode()] += 1
        return commands

    def progress(self) -> dict[str, Any]:
        """The job's present state; empty if the service cannot tell."""
        response = self.sentiq.http.get(self.job["links"]["self"])
        body: dict[str, Any] = response.json() if response.status_code == 200 else {}
        return body

    # The fault

    def strikes(self) -> None:
        """Notes that the fault is about to happen."""
        self._held = int(self.servers[-1].zcard("unacked_index"))
        self._fault_at = time.monotonic()

    def over(self) -> None:
        """Notes that a lasting fault is over, so that recovery begins here."""
        self._over_at = time.monotonic()

    def held(self) -> dict[bytes, float]:
        """The deliveries that workers hold, with the time (Unix seconds) of each one's last renewal."""
        return dict(self.servers[-1].zrange("unacked_index", 0, -1, withscores=True))

    def stop_with_chunks(self, workers: dict[str, int]) -> dict[bytes, float]:
        """Stops workers (pids by role) at a moment when each has begun a chunk; returns the deliveries held then."""

        def stopped() -> dict[bytes, float] | None:
            for pid in workers.values():
                os.kill(pid, signal.SIGSTOP)
            begun = {
                key.decode().removeprefix("sentiq:a:") for key in self.servers[0].scan_iter("sentiq:a:*", count=1000)
            }
            held = [orjson.loads(raw) for raw in self.servers[-1].hvals("unacked")]
            queues = {queue for message, _, queue in held if message["headers"]["id"] in begun}
            if set(workers) <= queues:
                return self.held()
            for pid in workers.values():
                os.kill(pid, signal.SIGCONT)
            return None

        return wait_until(stopped, what=f"a chunk that is begun and held by each of {', '.join(workers)}", timeout_s=20)

    def await_redelivery(self, held: dict[bytes, float]) -> None:
        """Waits until each delivery that a dead worker held is done or has been renewed by another worker."""
        died_at = time.time()

        def taken_over() -> bool:
            now = self.held()
            return all(now.get(tag, 1e18) > died_at for tag in held)

        wait_until(taken_over, what="a dead worker's chunks to be another's", timeout_s=60)
        assert self.load is not None
        self.redelivered_s = self.load.seconds(self._fault_at, time.monotonic())

    # After

    def end(self, *, allowed: set[str], prompt_known: bool = False, deaths: int | None = 0) -> Figures:
        """Waits until the service has recovered, stops the load, and checks every answer.

        Args:
            allowed: the kinds of answers, besides 200 and 202, that callers may have got.
            prompt_known: known texts must have been answered with 200 all the time.
            deaths: the number of processes whose end the launcher must have reported; None for any.
        """
        load = self.load
        assert load is not None
        since = self._over_at or self._fault_at

        def recovered() -> bool:
            now = time.monotonic()
            calm = load.between(now - _CALM_S)
            busy = load.rate(now - _CALM_S, now)
            return (
                now > since + _CALM_S
                and len(calm) > 10
                and all(answer.good for answer in calm)
                and busy > 0.4 * self._rate_before
            )

        wait_until(recovered, what=f"callers to be answered as before ({self._rate_before:.0f} a second)", timeout_s=90)
        load.stop()
        after = load.between(self._fault_at)
        bad = [answer for answer in after if not answer.good]
        try:
            wait_until(
                lambda: self.progress().get("status") in ("succeeded", "failed"), what="the job to end", timeout_s=120
            )
        except AssertionError:
            server = self.servers[-1]
            queued = {key: server.llen(key) for key in server.keys("batch*")}
            print(self.progress(), server.hgetall("unacked"), self.held(), queued, sep="\n")
            raise
        lost, doubled, wrong = self._check_job(self.job, self.texts)
        slow = [answer for answer in load.answers if answer.kind == "202"]
        for answer in slow:
            found = self._check_late(answer)
            lost, doubled, wrong = lost + found[0], doubled + found[1], wrong + found[2]
        wrong += sum(
            (a.body["label"], a.body["confidence"]) != expected(a.text, a.body["model"]) or a.body["text"] != a.text
            for a in load.answers
            if a.kind == "200"
        )
        done = self.progress()
        figures = Figures(
            fault=self.fault,
            in_flight=f"{self._callers} callers, a job of {self._lines:,} lines, {self._held} chunks",
            answers=len(after),
            lost=lost,
            doubled=doubled + max(0, done["done"] - len(self.texts)),
            wrong=wrong,
            told=dict(Counter(answer.kind for answer in after if answer.kind != "200")),
            longest_s=round(max(answer.took_s for answer in after), 2),
            redelivered_s=None if self.redelivered_s is None else round(self.redelivered_s, 1),
            recovered_s=round(max([load.seconds(since, answer.began_at + answer.took_s) for answer in bad] + [0.0]), 1),
        )
        FIGURES.mkdir(parents=True, exist_ok=True)
        (FIGURES / f"{self.fault.replace(' ', '-').replace('/', '-')}.json").write_text(
            json.dumps(asdict(figures), indent=1)
        )
        assert (figures.lost, figures.doubled, figures.wrong) == (0, 0, 0), figures
        assert (done["status"], done["total"], done["done"], done["failed"]) == (
            "succeeded",
            len(self.texts),
            len(self.texts),
            0,
        )
        assert set(figures.told) <= {"202"} | allowed, figures
        assert figures.longest_s < LIMIT_S, figures
        assert self.redelivered_s is None or self.redelivered_s < REDELIVERY_S, figures
        if prompt_known:
            told = Counter(answer.kind for answer in after if answer.known)
            assert set(told) == {"200"}, told
        died = re.findall(r"\w+ \(pid \d+\) ended .*", self.sentiq.output)
        assert deaths is None or len(died) == deaths, died
        wait_until(
            lambda: self.processes() == self._processes,
            what=f"the same processes as before: {self._processes}",
            timeout_s=30,
        )
        for server in self.servers:
            leaked = keys_without_end(server)
            assert not leaked, f"keys without a TTL: {leaked}"
        return figures

    def _check_job(self, job: dict[str, Any], texts: list[str]) -> tuple[int, int, int]:
        """The numbers of lost, doubled and wrong lines of a job."""
        response = self.sentiq.http.get(f"{job['links']['results']}?format=ndjson")
        assert response.status_code == 200, response.text
        items = [orjson.loads(line) for line in response.content.splitlines()]
        times = Counter(item["position"] for item in items if item.get("label") is not None)
        lost = sum(position not in times for position in range(len(texts)))
        wrong = sum(
            item["text"] != texts[item["position"]]
            or (item["label"], item["confidence"]) != expected(item["text"], item["model"])
            for item in items
            if item.get("label") is not None
        )
        return lost, sum(times.values()) - len(times), wrong

    def _check_late(self, answer: Answer) -> tuple[int, int, int]:
        """The same for a caller's text that became a job."""

        def ended() -> bool:
            response = self.sentiq.http.get(answer.body["links"]["self"])
            return response.status_code == 404 or response.json().get("status") in ("succeeded", "failed")

        wait_until(ended, what="a slow caller's job to end", timeout_s=60)
        if self.sentiq.http.get(answer.body["links"]["self"]).status_code == 404:
            return 1, 0, 0
        return self._check_job(answer.body, [answer.text])

    def finish(self) -> None:
        """Stops Sentiq through its launcher, and checks that no process is left."""
        assert self.sentiq.stop() == 0
        left = wait_until(lambda: not self.sentiq.members() or None, what="every process to be gone", timeout_s=20)
        assert left
        for server in self.servers:
            server.close()


def table() -> str:
    """The figures of all trials, as a Markdown table."""
    rows = [
        (
            "| fault | in flight | answers | lost | doubled | wrong | told otherwise"
            " | longest wait | redelivered | back after |"
        ),
        "|" + "---|" * 10,
    ]
    for path in sorted(FIGURES.glob("*.json")):
        one = Figures(**json.loads(path.read_text()))
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(one.told.items())) or "nobody"
        again = "" if one.redelivered_s is None else f"{one.redelivered_s} s"
        cells = [
            one.fault,
            one.in_flight,
            one.answers,
            one.lost,
            one.doubled,
            one.wrong,
            told,
            f"{one.longest_s} s",
            again,
            f"{one.recovered_s} s",
        ]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
