"""Jobs by the numbers: a million texts through the service, and callers beside a job.

    python -m benchmarks.jobs million [--texts 1000000]               the stub engine: intake, memory, order
    python -m benchmarks.jobs beside FILE.tsv.gz [--texts 50000]      the real engine: /predict and a job, alone and beside each other

Each starts a Sentiq of its own in an empty folder, with the settings of the environment, and ends it again.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import itertools
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).resolve().parent.parent


class Sentiq:
    """A running service."""

    def __init__(self, folder: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        variables = os.environ | {"PORT": str(self.port), "DATA_DIR": str(folder), "PYTHONUNBUFFERED": "1"} | environment
        self._log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "webapp.launch"],
            cwd=ROOT,
            env=variables,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        while self.status() != 200:
            if self.process.poll() is not None:
                sys.exit((folder / "log").read_text())
            time.sleep(0.1)
        self.redis = redis.Redis(unix_socket_path=str(folder / "valkey.sock"))

    def status(self) -> int:
        """Of `/health/ready`; 0 if nobody answers."""
        try:
            return self.ask("GET", "/health/ready")[0]
        except OSError:
            return 0

    def connect(self) -> HTTPConnection:
        """A connection of the caller's own."""
        return HTTPConnection("127.0.0.1", self.port, timeout=3600)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """One request on a connection of its own: its status and JSON."""
        connection = self.connect()
        connection.request(method, path, body, headers or {}, encode_chunked=not isinstance(body, bytes | None))
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        return answer.status, json.loads(raw) if raw else None

    def resident_mb(self) -> dict[str, float]:
        """The most that each kind of process has held so far, in MB; of several of a kind the largest."""
        found: dict[str, float] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
                if str(self.folder).encode() not in (entry / "environ").read_bytes() and str(self.folder) not in words:
                    continue
                kinds = {"gunicorn": "web", "tasks.worker interactive": "interactive", "tasks.worker batch": "batch", "valkey": "server"}
                kind = next((name for mark, name in kinds.items() if mark in words), None)
                peak = next(line for line in (entry / "status").read_text().splitlines() if line.startswith("VmHWM"))
                if kind is not None:
                    found[kind] = max(found.get(kind, 0), int(peak.split()[1]) / 1000)
        return found

    def used_mb(self) -> float:
        """Memory of the server's data."""
        return self.redis.info("memory")["used_memory"] / 1e6  # type: ignore[index, no-any-return]

    def disk_mb(self) -> float:
        """The server's files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file() and "valkey" in str(path)) / 1e6

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job, once it has ended."""
        while job["status"] in ("queued", "running"):
            job = self.ask("GET", job["links"]["self"], headers={"Prefer": "wait=30"})[1]
        return job

    def close(self) -> None:
        """Ends it."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._log.close()


def million(texts: int) -> None:
    """Uploads so many texts of about 90 bytes as NDJSON, lets them be scored, and downloads and compares them."""

    def text(i: int) -> str:
        return f"text number {i} of a long list, about as long as a tweet is, and {'good' if i % 3 else 'bad'} in its way"

    def body() -> Iterator[bytes]:
        for start in range(0, texts, 1000):
            yield b"".join(json.dumps(text(i)).encode() + b"\n" for i in range(start, min(texts, start + 1000)))

    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder), MODEL_NAME="stub")
        before_mb, before_disk_mb, idle = sentiq.used_mb(), sentiq.disk_mb(), sentiq.resident_mb()
        started = time.perf_counter()
        status, job = sentiq.ask("POST", "/batch_predict", body(), {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"})
        assert status == 202, job
        uploaded_s = time.perf_counter() - started
        print(f"uploaded {job['total']:,} lines in {uploaded_s:.1f} s; {job['done']:,} of them done when the last had come", flush=True)
        job = sentiq.ended(job)
        print(
            f"ended {job['status']} after {time.perf_counter() - started:.1f} s: {job['done']:,} done, {job['failed']} failed", flush=True
        )
        cache_mb = (
            sum(sentiq.redis.memory_usage(key) or 0 for key in itertools.islice(sentiq.redis.scan_iter("sentiq:p:*", 1000), 1000))
            / 1e9
            * texts
        )
        used_mb = sentiq.used_mb() - before_mb
        started = time.perf_counter()
        connection = sentiq.connect()
        connection.request("GET", f"{job['links']['results']}?format=ndjson", headers={"Accept-Encoding": "gzip"})
        lines = 0
        with gzip.open(connection.getresponse()) as answer:
            for lines, line in enumerate(answer, 1):
                item = json.loads(line)
                assert (item["position"], item["text"], item["status"]) == (lines - 1, text(lines - 1), "done"), item
        print(f"downloaded and compared {lines:,} lines in {time.perf_counter() - started:.1f} s; all in order: {lines == texts}")
        print(
            "most resident memory, MB:", {kind: f"{idle.get(kind, 0):.0f} -> {mb:.0f}" for kind, mb in sorted(sentiq.resident_mb().items())}
        )
        print(f"Redis memory {used_mb * 1e6 / texts:.0f} bytes a text, of which the cache about {cache_mb * 1e6 / texts:.0f}", end="; ")
        print(f"disk {(sentiq.disk_mb() - before_disk_mb) * 1e6 / texts:.0f} bytes a text")
        sentiq.close()


class Callers:
    """So many callers of `/predict`, each with a text of his own a few times a second, until stopped."""

    def __init__(self, sentiq: Sentiq, texts: Iterator[str], count: int, rate: float) -> None:
        self.seconds: list[float] = []
        self.statuses: dict[int, int] = {}
        self._sentiq, self._texts, self._period_s = sentiq, texts, count / rate if rate else 0.0
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def _call(self) -> None:
        connection = self._sentiq.connect()
        due = time.perf_counter()
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            with self._lock:
                text = next(self._texts)
            due = max(due, time.perf_counter() - 1) + self._period_s
            started = time.perf_counter()
            connection.request("POST", "/predict", json.dumps({"text": text}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            with self._lock:
                self.seconds.append(time.perf_counter() - started)
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        connection.close()

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def summary(self) -> str:
        """Count, statuses, p50 and p95."""
        cuts = statistics.quantiles(self.seconds, n=20)
        return f"{len(self.seconds)} answers {self.statuses}, p50 {1000 * cuts[9]:.1f} ms, p95 {1000 * cuts[18]:.1f} ms"

    @property
    def p95_s(self) -> float:
        """Of all answers."""
        return statistics.quantiles(self.seconds, n=20)[18]


def beside(file: Path, texts: int, *, callers: int, rate: float, seconds: float) -> None:
    """Callers alone, a job alone, both together; the texts of each are new to the cache."""
    with gzip.open(file, "rt") as rows:
        tweets = [row.rstrip("\n").split("\t")[-1] for row in rows]
    numbers = itertools.count()

    def unknown() -> Iterator[str]:
        for tweet in itertools.cycle(tweets):
            yield f"{tweet} {next(numbers)}"

    source = unknown()
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder))

        def submit() -> dict[str, Any]:
            body = b"".join(json.dumps(text).encode() + b"\n" for text in itertools.islice(source, texts))
            return sentiq.ask("POST", "/batch_predict", body, {"Content-Type": "application/x-ndjson"})[1]  # type: ignore[no-any-return]

        with Callers(sentiq, source, callers, rate):
            time.sleep(3)
        with Callers(sentiq, source, callers, rate) as idle:
            time.sleep(seconds)
        print(f"/predict idle, {callers} connections, {rate or 'no limit'} a second: {idle.summary()}", flush=True)
        alone = sentiq.ended(submit())
        print(f"job alone: {alone['done']} lines, {alone['failed']} failed, {alone['texts_per_s']} texts/s", flush=True)
        job = submit()
        with Callers(sentiq, source, callers, rate) as busy:
            job = sentiq.ended(job)
        print(f"/predict beside the job: {busy.summary()}; p95 {busy.p95_s / idle.p95_s:.2f} times the idle one")
        ratio = job["texts_per_s"] / alone["texts_per_s"]
        print(f"job beside callers: {job['done']} lines, {job['failed']} failed, {job['texts_per_s']} texts/s, {ratio:.0%} of alone")
        print("most resident memory, MB:", {kind: round(mb) for kind, mb in sorted(sentiq.resident_mb().items())})
        sentiq.close()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("million")
    one.add_argument("--texts", type=int, default=1_000_000)
    other = commands.add_parser("beside")
    other.add_argument("file", type=Path)
    other.add_argument("--texts", type=int, default=50_000)
    other.add_argument("--connections", type=int, default=4)
    other.add_argument("--rate", type=float, default=20.0, help="callers' requests a second, all together; 0: as fast as they are answered")
    other.add_argument("--seconds", type=float, default=30.0, help="of the idle measurement")
    asked = parser.parse_args()
    if asked.command == "million":
        million(asked.texts)
    else:
        beside(asked.file, asked.texts, callers=asked.connections, rate=asked.rate, seconds=asked.seconds)


if __name__ == "__main__":
    main()
