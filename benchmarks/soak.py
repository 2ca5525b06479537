"""A short version of hours of mixed load: does anything grow that should not?

    python -m benchmarks.soak [--minutes 30] [--rate 1.0] [--json FILE]

Starts a Sentiq of its own in an empty folder, with the settings of the environment, but keeps predictions and jobs for
a minute instead of an hour and a day, so that the first ones expire within the first third. Prints the memory of each
process, Redis' memory and its number of keys over time, then the trend of each over the last two thirds, and the keys
that are left when all should have expired. The exit status is 1 if one of them grows, keys are left, a request fails,
or a process was replaced.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.services import Sentiq

KEPT_S = 60
GROWTH_SHARE, GROWTH_MB, GROWTH_KEYS_SHARE = 0.05, 6.0, 0.3
"""How much a trend may rise over the last two thirds. Memory: this share of the mean, or so many MB if that is more,
because each web process keeps up to 20,000 texts (10 MB) in memory and drops them only for newer ones. Keys: another
share, because their number goes up and down with the jobs.
"""
KEYS_LEFT = 20
"""How many more keys than at the start may be left at the end: those of the queues."""
KINDS = {
    "tasks.worker interactive": "interactive",
    "tasks.worker batch": "batch",
    "sentiq serve": "launcher",
    "gunicorn": "web",
    "valkey": "redis",
}
KNOWN = [f"a known text, number {number}, and a {'good' if number % 2 else 'bad'} one" for number in range(500)]
WORDS = [
    "service",
    "train",
    "coffee",
    "screen",
    "match",
    "song",
    "weather",
    "battery",
    "teacher",
    "ending",
    "lovely",
    "awful",
    "fine",
    "late",
]


class Load:
    """All callers. `counts` has the number of answers by request and status, `failures` what went wrong."""

    def __init__(self, sentiq: Sentiq, rate: float) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._sentiq, self._stop, self._lock = sentiq, threading.Event(), threading.Lock()
        self._numbers = itertools.count()
        work: list[tuple[str, Callable[[random.Random], None], float]] = [
            ("known", self._known, 20), ("unknown", self._unknown, 8), ("at once", self._at_once, 1),
            ("job", self._job, 0.2), ("cancelled job", self._cancelled, 0.1), ("hang-up", self._hang_up, 2),
            ("bad request", self._bad, 2), ("look", self._look, 1),
        ]  # fmt: skip
        self._threads = [
            threading.Thread(target=self._repeat, args=(name, one, per_s * rate)) for name, one, per_s in work
        ]

    def _repeat(self, name: str, one: Callable[[random.Random], None], per_s: float) -> None:
        rng = random.Random(name)
        while not self._stop.wait(rng.expovariate(per_s)):
            try:
                one(rng)
            except Exception as error:  # the run goes on after any error, and reports it at the end
                with self._lock:
                    self.failures[f"{name}: {type(error).__name__}: {error}"[:200]] += 1

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _text(self, rng: random.Random) -> str:
        return f"{' '.join(rng.choices(WORDS, k=rng.randint(3, 30)))}, as number {next(self._numbers)} says"

    def _ask(self, kind: str, good: tuple[int, ...], method: str, path: str, body: Any = None, **headers: str) -> Any:
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        status, answer = self._sentiq.ask(
            method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        with self._lock:
            self.counts[f"{kind} {status}"] += 1
            if status not in good:
                self.failures[f"{kind}: status {status}"] += 1
        return answer

    def _known(self, rng: random.Random) -> None:
        self._ask("known", (200, 202, 429), "POST", "/predict", {"text": rng.choice(KNOWN)})

    def _unknown(self, rng: random.Random) -> None:
        self._ask("unknown", (200, 202, 429), "POST", "/predict", {"text": self._text(rng)})

    def _at_once(self, rng: random.Random) -> None:
        texts = [rng.choice(KNOWN) if rng.random() < 0.4 else self._text(rng) for _ in range(10)]
        self._ask("at once", (200, 202), "POST", "/batch_predict", {"texts": texts}, Prefer="return=representation")

    def _job(self, rng: random.Random) -> None:
        texts = [self._text(rng) for _ in range(200)]
        job = self._ask("job", (202,), "POST", "/batch_predict", {"texts": texts})
        while job["status"] in ("queued", "running") and not self._stop.is_set():
            job = self._ask("job wait", (200,), "GET", job["links"]["self"], Prefer="wait=5")
        if not self._stop.is_set():
            page = self._ask("results", (200,), "GET", job["links"]["results"])
            if [item["text"] for item in page["items"]] != texts:
                raise AssertionError("the results are not the texts'")

    def _cancelled(self, rng: random.Random) -> None:
        job = self._ask(
            "job to cancel", (202,), "POST", "/batch_predict", {"texts": [self._text(rng) for _ in range(500)]}
        )
        self._ask("cancel", (202,), "DELETE", job["links"]["self"])

    def _bad(self, rng: random.Random) -> None:
        body = rng.choice([b"{", b'{"text":""}', b'{"text":5}', b"\xff", b"[" * 10_000])
        self._ask("bad", (400, 422), "POST", rng.choice(["/predict", "/batch_predict"]), body)

    def _look(self, rng: random.Random) -> None:
        path = rng.choice(["/health", "/health/ready", "/jobs?limit=20", "/model", "/health/live"])
        self._ask("look", (200,), "GET", path)

    def _hang_up(self, rng: random.Random) -> None:
        body = json.dumps({"text": self._text(rng)}).encode()
        head = (
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        upload = (
            b"POST /batch_predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 100000\r\n\r\n" + b"a text\n" * 900
        )
        with socket.create_connection(("127.0.0.1", self._sentiq.port)) as connection:
            connection.sendall(rng.choice([head + body, head + body[:5], head[:40], upload]))
        with self._lock:
            self.counts["hang-up"] += 1


def processes(sentiq: Sentiq) -> dict[str, float]:
    """The resident memory of each process now, in MB, by kind and pid."""
    found: dict[str, float] = {}
    for pid in sentiq.pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            resident = next(
                line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
            )
        except (OSError, StopIteration):
            continue
        kind = next((name for mark, name in KINDS.items() if mark in words), "other")
        found[f"{kind} {pid}"] = int(resident.split()[1]) / 1000
    return found


def rise(times: list[float], values: list[float]) -> float:
    """How much the least-squares line through the points rises from the first to the last."""
    mean_time, mean = sum(times) / len(times), sum(values) / len(values)
    over = sum((at - mean_time) ** 2 for at in times)
    if over == 0:
        return 0.0
    return (
        sum((at - mean_time) * (value - mean) for at, value in zip(times, values, strict=True))
        / over
        * (times[-1] - times[0])
    )


def verdict(samples: list[dict[str, float]]) -> tuple[list[str], bool]:
    """A line of output for each figure, and whether all are flat after the first third."""
    late = samples[len(samples) // 3 :]
    lines, flat = [f"{'':22}{'first':>10}{'a third':>10}{'last':>10}{'rise':>10}{'allowed':>10}"], True
    for name in sorted({name for sample in samples for name in sample} - {"s"}):
        if any(name not in sample for sample in samples):
            lines.append(f"{name:22}came or went meanwhile")
            flat = False
            continue
        values = [sample[name] for sample in late]
        grown = rise([sample["s"] for sample in late], values)
        mean = sum(values) / len(values)
        allowed = GROWTH_KEYS_SHARE * mean if name == "keys" else max(GROWTH_SHARE * mean, GROWTH_MB)
        good = grown <= allowed
        flat &= good
        lines.append(
            f"{name:22}{samples[0][name]:10.1f}{values[0]:10.1f}{values[-1]:10.1f}{grown:10.1f}{allowed:10.1f}"
            f"{'' if good else '  GROWS'}"
        )
    return lines, flat


def soak(minutes: float, rate: float, file: Path | None) -> bool:
    """Runs the load and prints; returns whether nothing grew and nothing failed."""
    every_s = min(60.0, minutes * 60 / 18)
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        kept = str(int(min(KEPT_S, minutes * 60 / 5)))
        sentiq = Sentiq(Path(folder), CACHE_TTL=kept, JOB_TTL=kept)
        print(
            f"ready after {sentiq.start(sentiq.is_ready):.1f} s; {minutes:g} minutes;"
            f" predictions and jobs kept for {kept} s",
            flush=True,
        )
        samples: list[dict[str, float]] = []
        try:
            with Load(sentiq, rate) as load:
                began = time.monotonic()
                while (elapsed := time.monotonic() - began) < minutes * 60 + every_s / 2:
                    sample = {"s": elapsed} | processes(sentiq)
                    sample |= {"redis data": sentiq.used_mb(), "keys": float(sentiq.redis.dbsize())}  # type: ignore[arg-type]
                    samples.append(sample)
                    names = "  ".join(f"{name} {value:.0f}" for name, value in sample.items() if name != "s")
                    print(f"{elapsed / 60:5.1f} min  {names}", flush=True)
                    time.sleep(max(0.0, every_s - (time.monotonic() - began - elapsed)))
            until = time.monotonic() + 2 * int(kept) + 30
            while (left := sentiq.redis.dbsize()) > samples[0]["keys"] + KEYS_LEFT and time.monotonic() < until:  # type: ignore[operator]
                time.sleep(1)
        finally:
            sentiq.close()
    lines, flat = verdict(samples)
    print("\n".join(["", "MB, and keys; the rise is of the last two thirds", *lines, ""]))
    print(f"keys: {samples[0]['keys']:.0f} at the start, {left} when all should have ended")
    flat &= left <= samples[0]["keys"] + KEYS_LEFT  # type: ignore[operator]
    print("answers:", ", ".join(f"{name}: {count}" for name, count in sorted(load.counts.items())))
    for name, count in load.failures.items():
        print(f"FAILED {count} times: {name}")
    print("flat" if flat else "not flat", "and nothing failed" if not load.failures else "and requests failed")
    if file is not None:
        file.write_text(json.dumps({"samples": samples, "counts": load.counts, "failures": load.failures}) + "\n")
    return flat and not load.failures


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=1.0, help="times the usual load (about 34 requests a second)")
    parser.add_argument("--json", type=Path, help="writes samples and counts there too")
    asked = parser.parse_args()
    sys.exit(0 if soak(asked.minutes, asked.rate, asked.json) else 1)


if __name__ == "__main__":
    main()
