"""Several keys of unequal greed on one service: what each of them gets, measured against a fair share.

    python -m benchmarks.fairness [--seconds 20] [--quick] [--model default] [--only jobs]

2, 4 and 8 keys at once, each with callers of /predict or with jobs, as many and as long as the table says. A key's fair
share is what it gets alone, divided by the number of keys; its slowdown is that share divided by what it got, so 1 is
fair, and 2 means that all took twice as long as it should. A key that asks for less than its share should be below 1.
Starts a Sentiq of its own in an empty folder and ends it again; load and service share the machine. All ratios are of
one run. With --quick, 2 minutes; else 6.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from benchmarks.services import Sentiq
from tasks.keys import new_key

KEYS = (2, 4, 8)
REFUSED_PAUSE_S = 0.2
"""A refused caller comes back after this, earlier than it was told to."""
_WORDS = "the bus leaves at nine from the usual place and i hope that you love it as much as we hate to wait here "


@dataclass(frozen=True)
class Greed:
    """What one key sends all the time."""

    at_once: int
    """Connections of callers, or jobs."""
    chars: int
    """Of each text."""
    texts: int = 0
    """Of each job; 0: callers of /predict."""

    def __str__(self) -> str:
        if self.texts:
            return f"{self.at_once} job{'s' * (self.at_once > 1)} of {self.texts}"
        return f"{self.at_once} connection{'s' * (self.at_once > 1)}, {self.chars} characters"


CALLERS = (Greed(1, 60), Greed(100, 2000), Greed(30, 60), Greed(10, 500))
JOBS = (Greed(1, 60, 400), Greed(60, 60, 20), Greed(4, 60, 2000), Greed(10, 60, 300))


@dataclass
class Got:
    """What one key got in the measured time."""

    seconds: float
    texts: int
    """Answered."""
    waits_s: list[float]
    """For each answer or ended job."""
    others: int
    """Requests with another status than the wanted one."""

    @property
    def rate(self) -> float:
        """Texts per second."""
        return self.texts / self.seconds

    @property
    def p50_s(self) -> float:
        """The median wait; not a number if nothing ended."""
        return statistics.median(self.waits_s) if self.waits_s else float("nan")


class Key:
    """One key's requests, from threads of one process."""

    def __init__(self, port: int, key: str, greed: Greed, name: str, began: float, until: float) -> None:
        self._port, self._greed, self._name, self._began, self._until = port, greed, name, began, until
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._got = Got(until - began, 0, [], 0)

    def run(self) -> Got:
        """Sends until the time is over."""
        serve = self._job if self._greed.texts else self._call
        threads = [threading.Thread(target=self._again_and_again, args=(serve,)) for _ in range(self._greed.at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._got

    def _again_and_again(self, serve: Callable[[HTTPConnection], None]) -> None:
        with contextlib.closing(HTTPConnection("127.0.0.1", self._port, timeout=60)) as connection:
            while time.time() < self._until:
                try:
                    serve(connection)
                except (OSError, HTTPException):
                    connection.close()
                    self._note(0, None)

    def _note(self, texts: int, wait_s: float | None) -> None:
        if self._began <= time.time() < self._until:
            with self._lock:
                self._got.texts += texts
                if wait_s is not None:
                    self._got.waits_s.append(wait_s)
                elif not texts:
                    self._got.others += 1

    def _text(self) -> str:
        unknown = f"{self._name} {next(self._numbers)} "
        return (unknown + _WORDS * (self._greed.chars // len(_WORDS) + 1))[: self._greed.chars]

    def _ask(self, connection: HTTPConnection, method: str, path: str, body: object = None) -> tuple[int, Any]:
        headers = self._headers | ({"Prefer": "wait=1"} if method == "GET" else {})
        connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw)

    def _call(self, connection: HTTPConnection) -> None:
        asked = time.time()
        status, _ = self._ask(connection, "POST", "/predict", {"text": self._text()})
        if status == 200:
            self._note(1, time.time() - asked)
        else:
            self._note(0, None)
            time.sleep(REFUSED_PAUSE_S)

    def _job(self, connection: HTTPConnection) -> None:
        asked = time.time()
        texts = [self._text() for _ in range(self._greed.texts)]
        status, job = self._ask(connection, "POST", "/batch_predict", {"texts": texts})
        if status != 202:
            self._note(0, None)
            time.sleep(REFUSED_PAUSE_S)
            return
        told = 0
        while job["finished_at"] is None and time.time() < self._until:
            job = self._ask(connection, "GET", job["links"]["self"])[1]
            self._note(job["done"] - told, None) if job["done"] > told else None
            told = job["done"]
        if job["finished_at"] is not None:
            self._note(1, time.time() - asked)
            self._note(-1, None)
        else:
            self._ask(connection, "DELETE", job["links"]["self"])


def _process(found: Any, place: int, *arguments: Any) -> None:
    found.put((place, Key(*arguments).run()))


@contextlib.contextmanager
def beside(port: int, key: str, greeds: Sequence[Greed], longest_s: float) -> Iterator[None]:
    """A context in which one key sends all of this all the time, from other processes."""
    context = multiprocessing.get_context("spawn")
    found: Any = context.Queue()
    began = time.time()
    processes = [
        context.Process(
            target=_process, args=(found, place, port, key, greed, f"{began:.0f} {place}", began, began + longest_s)
        )
        for place, greed in enumerate(greeds)
    ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def together(port: int, keys: Sequence[str], greeds: Sequence[Greed], seconds: float) -> list[Got]:
    """What keys get that send at the same time, each from a process of its own."""
    context = multiprocessing.get_context("spawn")
    found: Any = context.Queue()
    began = time.time() + 3.0  # all have started, and the queues have filled
    processes = [
        context.Process(
            target=_process, args=(found, place, port, key, greed, f"{began:.0f} {place}", began, began + seconds)
        )
        for place, (key, greed) in enumerate(zip(keys, greeds, strict=True))
    ]
    for process in processes:
        process.start()
    got = dict(found.get(timeout=seconds + 120) for _ in processes)
    for process in processes:
        process.join()
    return [got[place] for place in range(len(processes))]


def measure(port: int, keys: Sequence[str], greeds: Sequence[Greed], seconds: float) -> float:
    """Prints the tables of one kind; returns the worst slowdown."""
    worst = 0.0
    alone = {greed: together(port, keys[:1], [greed], seconds)[0] for greed in greeds}
    for count in KEYS:
        mix = [greeds[number % len(greeds)] for number in range(count)]
        print(f"\n{count} keys{'texts/s alone':>45}{'beside':>10}{'p50 alone':>12}{'beside':>10}{'slowdown':>10}")
        for greed, got in zip(mix, together(port, keys[:count], mix, seconds), strict=True):
            before = alone[greed]
            slowdown = before.rate / count / got.rate if got.rate else float("inf")
            worst = max(worst, slowdown)
            rates = f"{before.rate:>12.1f}{got.rate:>10.1f}{before.p50_s:>10.3f} s{got.p50_s:>8.3f} s"
            refused = f"  {got.others} refused" if got.others else ""
            print(f"  {greed!s:36}{rates}{slowdown:>10.2f}{refused}", flush=True)
    return worst


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fairness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=["callers", "jobs"], help="both without it")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement; there are 14")
    parser.add_argument("--quick", action="store_true", help="5 seconds each")
    parser.add_argument("--model", default="default", help="MODEL_NAME, for example stub?delay_s=0.004")
    asked = parser.parse_args()
    keys, entries = zip(*(new_key(f"key-{number}", ["predict", "jobs"]) for number in range(max(KEYS))), strict=True)
    seconds = 5 if asked.quick else asked.seconds
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder), MODEL_NAME=asked.model, API_KEYS=",".join(entries))
        sentiq.start(sentiq.is_ready)
        try:
            worst = {
                kind: measure(sentiq.port, keys, CALLERS if kind == "callers" else JOBS, seconds)
                for kind in ([asked.only] if asked.only else ["jobs", "callers"])
            }
        finally:
            sentiq.close()
    print("\nworst slowdown:", ", ".join(f"{kind} {slowdown:.2f}" for kind, slowdown in worst.items()))


if __name__ == "__main__":
    main()
