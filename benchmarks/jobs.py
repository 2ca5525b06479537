"""Measures jobs: a million texts through the service, and callers while a job runs.

    python -m benchmarks.jobs million [--texts 1000000]               the stub engine: intake, memory, order
    python -m benchmarks.jobs beside FILE.tsv.gz [--texts 50000]      the real engine: /predict and a job, alone and
    beside each other

Each command starts a Sentiq of its own in an empty folder, with the settings of the environment, and ends it again.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.services import Callers, Sentiq


def million(texts: int) -> None:
    """Uploads so many texts of about 90 bytes as NDJSON, waits until they are scored, downloads the results and checks
    them.
    """

    def text(i: int) -> str:
        return (
            f"text number {i} of a long list, about as long as a tweet is, and {'good' if i % 3 else 'bad'} in its way"
        )

    def body() -> Iterator[bytes]:
        for start in range(0, texts, 1000):
            yield b"".join(json.dumps(text(i)).encode() + b"\n" for i in range(start, min(texts, start + 1000)))

    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder), MODEL_NAME="stub")
        sentiq.start(sentiq.is_ready)
        before_mb, before_disk_mb, idle = sentiq.used_mb(), sentiq.disk_mb(), sentiq.resident_mb()
        started = time.perf_counter()
        status, job = sentiq.ask(
            "POST", "/batch_predict", body(), {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        )
        assert status == 202, job
        uploaded_s = time.perf_counter() - started
        print(
            f"uploaded {job['total']:,} lines in {uploaded_s:.1f} s;"
            f" {job['done']:,} of them done when the last had come",
            flush=True,
        )
        job = sentiq.ended(job)
        print(
            f"ended {job['status']} after {time.perf_counter() - started:.1f} s:"
            f" {job['done']:,} done, {job['failed']} failed",
            flush=True,
        )
        cache_mb = (
            sum(
                sentiq.redis.memory_usage(key) or 0
                for key in itertools.islice(sentiq.redis.scan_iter("sentiq:p:*", 1000), 1000)
            )
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
        print(
            f"downloaded and compared {lines:,} lines in {time.perf_counter() - started:.1f} s;"
            f" all in order: {lines == texts}"
        )
        print(
            "most resident memory, MB:",
            {kind: f"{idle.get(kind, 0):.0f} -> {mb:.0f}" for kind, mb in sorted(sentiq.resident_mb().items())},
        )
        print(
            f"Redis memory {used_mb * 1e6 / texts:.0f} bytes a text,"
            f" of which the cache about {cache_mb * 1e6 / texts:.0f}",
            end="; ",
        )
        print(f"disk {(sentiq.disk_mb() - before_disk_mb) * 1e6 / texts:.0f} bytes a text")
        sentiq.close()


def beside(file: Path, texts: int, *, callers: int, rate: float, seconds: float) -> None:
    """Measures callers alone, a job alone, and both together; none of the texts is cached."""
    with gzip.open(file, "rt") as rows:
        tweets = [row.rstrip("\n").split("\t")[-1] for row in rows]
    numbers = itertools.count()

    def unknown() -> Iterator[str]:
        for tweet in itertools.cycle(tweets):
            yield f"{tweet} {next(numbers)}"

    source = unknown()
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder))
        sentiq.start(sentiq.is_ready)
        with Callers(sentiq, source, callers, rate):
            time.sleep(3)
        with Callers(sentiq, source, callers, rate) as idle:
            time.sleep(seconds)
        print(f"/predict idle, {callers} connections, {rate or 'no limit'} a second: {idle.summary()}", flush=True)
        alone = sentiq.ended(sentiq.submit(list(itertools.islice(source, texts))))
        print(f"job alone: {alone['done']} lines, {alone['failed']} failed, {alone['texts_per_s']} texts/s", flush=True)
        job = sentiq.submit(list(itertools.islice(source, texts)))
        with Callers(sentiq, source, callers, rate) as busy:
            job = sentiq.ended(job)
        print(f"/predict beside the job: {busy.summary()}; p95 {busy.p95_s / idle.p95_s:.2f} times the idle one")
        ratio = job["texts_per_s"] / alone["texts_per_s"]
        print(
            f"job beside callers: {job['done']} lines, {job['failed']} failed, {job['texts_per_s']} texts/s,"
            f" {ratio:.0%} of alone"
        )
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
    other.add_argument(
        "--rate",
        type=float,
        default=20.0,
        help="callers' requests a second, all together; 0: as fast as they are answered",
    )
    other.add_argument("--seconds", type=float, default=30.0, help="of the idle measurement")
    asked = parser.parse_args()
    if asked.command == "million":
        million(asked.texts)
    else:
        beside(asked.file, asked.texts, callers=asked.connections, rate=asked.rate, seconds=asked.seconds)


if __name__ == "__main__":
    main()
