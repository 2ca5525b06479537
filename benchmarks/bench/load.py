"""Loads of limited duration, and their measurements: wrk for single texts, and threads in this process where an answer
takes two requests.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bench.systems import System
from benchmarks.services import Answer

_SCRIPT = Path(__file__).with_name("load.lua")
_MARK = "BENCH "
Measured = dict[str, Any]
"""answers_per_s (with status 200), p50_ms, p95_ms, p99_ms (if there were any), requests (the number answered), other
(the number for each other status).
"""


def parse_wrk(output: str) -> Measured:
    """Parses the last line that load.lua prints."""
    found = json.loads(next(line for line in output.splitlines() if line.startswith(_MARK)).removeprefix(_MARK))
    statuses = {status: count for status, count in found["statuses"].items() if count}
    good, requests = statuses.pop("200", 0), sum(found["statuses"].values())
    if found["errors"]:
        statuses["error"] = found["errors"]
    times = {name: found[name] for name in ("p50_ms", "p95_ms", "p99_ms") if requests}
    return {"answers_per_s": good / found["seconds"], **times, "requests": requests, "other": statuses}


def wrk(system: System, connections: int, seconds: int, file: Path, start: int | None) -> Measured:
    """Sends the file's lines in turn over so many connections. With a start, each text ends in a number that counts
    from there.
    """
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    argv += [
        f"http://127.0.0.1:{system.port}{system.path}",
        "--",
        str(file),
        *system.around,
        *([] if start is None else [str(start)]),
    ]
    return parse_wrk(subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60, check=True).stdout)


def batches(
    system: System, source: Iterator[list[str]], connections: int, seconds: float
) -> tuple[Measured, list[tuple[str, Answer]]]:
    """Sends batches over so many connections; also returns each text with its answer."""
    lock, until = threading.Lock(), time.perf_counter() + seconds
    times: list[float] = []
    statuses: Counter[str] = Counter()
    answers: list[tuple[str, Answer]] = []

    def caller() -> None:
        connection = system.connect()
        while time.perf_counter() < until:
            with lock:
                texts = next(source)
            began = time.perf_counter()
            status, found = system.batch(connection, texts)
            ended = time.perf_counter()
            with lock:
                if ended < until:
                    times.append(ended - began)
                    statuses[str(status)] += 1
                    answers.extend(zip(texts, found, strict=bool(found)))
        connection.close()

    threads = [threading.Thread(target=caller) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    requests, good = statuses.total(), statuses.pop("200", 0)
    return {
        "answers_per_s": good / seconds,
        **percentiles(times),
        "requests": requests,
        "other": dict(statuses),
    }, answers


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50_ms, p95_ms and p99_ms; empty if nothing was answered."""
    if not seconds:
        return {}
    cuts = statistics.quantiles(seconds * 2 if len(seconds) == 1 else seconds, n=100, method="inclusive")
    return {f"p{number}_ms": 1000 * cuts[number - 1] for number in (50, 95, 99)}


def settle(system: System, limit_s: float = 30.0) -> None:
    """Waits until the system has finished what a load left behind, that is until it uses a third of a core or less."""
    until = time.monotonic() + limit_s
    used_s = system.cpu_s()
    while time.monotonic() < until:
        time.sleep(0.3)
        before_s, used_s = used_s, system.cpu_s()
        if used_s - before_s <= 0.1:
            return
