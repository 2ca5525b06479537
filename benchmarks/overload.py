"""Measures ten times the capacity: how many callers are answered and how fast, what the others are told, and the
recovery.

    python -m benchmarks.overload [--seconds 60] [--delay 0.08] [--queue 75] [--times 10]

Callers of `/predict` with unknown texts arrive at random (Poisson, open loop: they do not wait for each other), from
other processes. The engine is the stub, which sleeps for the delay at each text, so that it is the bottleneck even if
load and service share two cores. The capacity is the rate of answers at four times 1 / delay. The command starts a
Sentiq of its own in an empty folder and ends it again. Ratios are those of one run.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import queue
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

from benchmarks.services import Sentiq

CONNECTIONS = 100
"""The connections of each process of callers. If all are busy, callers wait for one, and that counts as their waiting
time.
"""
PROCESSES = 2
LONGEST_WAIT_S = 30.0


class Arrival(NamedTuple):
    """One caller: when the request was due, in seconds since the step began, how long it waited for which status (0 for
    a broken connection), and its Retry-After.
    """

    at_s: float
    waited_s: float
    status: int
    retry_after_s: float | None


@dataclass(frozen=True)
class Step:
    """A period of steady arrivals."""

    offered: float
    """The intended number of arrivals per second."""
    seconds: float
    arrivals: Sequence[Arrival]

    def of(self, *statuses: int) -> list[Arrival]:
        """The arrivals that were answered with this status."""
        return [arrival for arrival in self.arrivals if arrival.status in statuses]

    @property
    def goodput(self) -> float:
        """Answers with status 200 per second, by the time when they were given; the first quarter, in which the queue
        fills, is left out.
        """
        start = self.seconds / 4
        given = [arrival.at_s + arrival.waited_s for arrival in self.of(200)]
        return sum(start <= at < self.seconds for at in given) / (self.seconds - start)

    @property
    def late(self) -> list[float]:
        """The waiting times of answers with status 200 after the first quarter."""
        return [arrival.waited_s for arrival in self.of(200) if arrival.at_s >= self.seconds / 4]

    @property
    def retry_after_s(self) -> float | None:
        """The median Retry-After of refusals after the first quarter."""
        told = [a.retry_after_s for a in self.of(429) if a.retry_after_s is not None and a.at_s >= self.seconds / 4]
        return statistics.median(told) if told else None


def _ask(connection: HTTPConnection, text: str) -> tuple[int, float | None]:
    connection.request("POST", "/predict", json.dumps({"text": text}).encode(), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    told = answer.getheader("Retry-After")
    return answer.status, None if told is None else float(told)


def _callers(
    port: int, rate: float, seconds: float, began: float, name: str, found: multiprocessing.Queue[list[Arrival]]
) -> None:
    """Runs in a process of its own: makes arrivals from `began` (by `time.monotonic`) on."""
    due: queue.SimpleQueue[float | None] = queue.SimpleQueue()
    arrivals: list[Arrival] = []
    numbers = itertools.count()

    def serve() -> None:
        connection = HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT_S)
        while (at_s := due.get()) is not None:
            status, told = 0, None
            try:
                status, told = _ask(connection, f"a text that nobody knows, {name} {next(numbers)}")
            except (OSError, HTTPException):
                connection.close()
            arrivals.append(Arrival(at_s, time.monotonic() - began - at_s, status, told))
        connection.close()

    threads = [threading.Thread(target=serve) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    rng, at_s = random.Random(name), 0.0
    while (at_s := at_s + rng.expovariate(rate)) < seconds:
        time.sleep(max(0.0, began + at_s - time.monotonic()))
        due.put(at_s)
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    found.put(arrivals)


def step(port: int, offered: float, seconds: float) -> Step:
    """Runs callers at this rate for so long; returns when the last one has an answer."""
    context = multiprocessing.get_context("spawn")
    found: multiprocessing.Queue[list[Arrival]] = context.Queue()
    began = time.monotonic() + 2.0  # by then the processes have started
    mark = f"{began:.3f}"
    processes = [
        context.Process(target=_callers, args=(port, offered / PROCESSES, seconds, began, f"{mark}-{number}", found))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    arrivals = [arrival for _ in processes for arrival in found.get(timeout=seconds + 10 * LONGEST_WAIT_S)]
    for process in processes:
        process.join()
    return Step(offered, seconds, sorted(arrivals))


def recovery_s(port: int, usual_s: float, limit_s: float = 60.0) -> float | None:
    """The seconds until three callers in a row are answered within `usual_s`; None if that does not happen."""
    began, quick = time.monotonic(), 0
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=LONGEST_WAIT_S)) as connection:
        for number in itertools.count():
            asked = time.monotonic()
            if asked - began > limit_s:
                return None
            status, _ = _ask(connection, f"a lone text {began} {number}")
            quick = quick + 1 if status == 200 and time.monotonic() - asked <= usual_s else 0
            if quick == 3:
                return time.monotonic() - began
    return None


def row(kind: str, of: Step) -> str:
    """A line of the table."""
    late, told = of.late, of.retry_after_s
    cuts = statistics.quantiles(late, n=20, method="inclusive") if len(late) > 1 else [0.0] * 19
    other = dict(
        sorted(
            (status, count)
            for status, count in Counter(a.status for a in of.arrivals).items()
            if status not in (200, 429)
        )
    )
    share = len(of.of(429)) / max(1, len(of.arrivals))
    retry = "" if told is None else f"{told:.0f}"
    rates = f"{len(of.arrivals) / of.seconds:10.1f}{of.goodput:10.1f}{share:9.0%}"
    return f"{kind:12}{rates}{cuts[9]:9.2f}{cuts[18]:9.2f}{retry:>13}  {other or ''}"


HEADER = f"{'':12}{'arrive/s':>10}{'200/s':>10}{'429':>9}{'p50 s':>9}{'p95 s':>9}{'Retry-After':>13}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overload", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="of the overload; the other steps take a third of it")
    parser.add_argument("--delay", type=float, default=0.02, help="the engine's seconds a text")
    parser.add_argument("--queue", type=int, default=2000, help="QUEUE_LIMIT")
    parser.add_argument("--times", type=float, default=10, help="overload: so many times the capacity")
    parser.add_argument("--wait", type=float, default=2, help="PREDICT_TIMEOUT: by then a caller hears 202")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        variables = {
            "MODEL_NAME": f"stub?delay_s={asked.delay}",
            "QUEUE_LIMIT": str(asked.queue),
            "PREDICT_TIMEOUT": str(asked.wait),
        }
        sentiq = Sentiq(Path(folder), **variables)
        sentiq.start(sentiq.is_ready)
        try:
            print(HEADER, flush=True)
            steps = {"to the full": step(sentiq.port, 4 / asked.delay, asked.seconds / 3)}
            print(row("to the full", steps["to the full"]), flush=True)
            capacity = steps["to the full"].goodput
            for times in (0.5, 1.0, 2.0, asked.times):
                name, seconds = f"{times:g} times", asked.seconds if times == asked.times else asked.seconds / 3
                steps[name] = step(sentiq.port, times * capacity, seconds)
                print(row(name, steps[name]), flush=True)
            seconds_after = recovery_s(sentiq.port, 0.1 + 5 * asked.delay)
            after = step(sentiq.port, 0.5 * capacity, asked.seconds / 3)
            print(row("0.5 after", after), flush=True)
        finally:
            sentiq.close()
    peak, over = max(one.goodput for one in steps.values()), steps[f"{asked.times:g} times"]
    print(f"\ngoodput at {asked.times:g} times: {over.goodput / peak:.0%} of its peak ({peak:.1f}/s)")
    print(f"alone again after the last answer: {'no' if seconds_after is None else f'{seconds_after:.1f} s'}")


if __name__ == "__main__":
    main()
