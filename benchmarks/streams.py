"""Measures streams: their rate beside that of jobs, how soon texts are visible, and what they take.

    python -m benchmarks.streams rate [--texts 50000] [--rounds 3]    the same texts as a job and into a stream, in
                                                                      turns, with the ratio of their rates
    python -m benchmarks.streams visible [--rate 20] [--seconds 60]   the lag until a listener was told of a text, alone
                                                                      and beside a large job
    python -m benchmarks.streams size [--texts 200000]                the time of a series, and the bytes of buckets,
                                                                      ids, authors and samples

`visible` has the real engine, the others have the stub, `rate` unless --model names another.
Each command starts a Sentiq of its own in an empty folder, with the settings of the environment, and ends it again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.replay import Line, Listener, lags, replay
from benchmarks.services import Sentiq
from webapp.client import Sentiq as Client

_BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
_DAYS = 9
_SEGMENTS = 6
_AUTHORS = 7000
_NDJSON = {"Content-Type": "application/x-ndjson"}


def made_up(count: int, *, mark: str) -> list[dict[str, Any]]:
    """New texts of about 90 bytes in six segments, spread over nine days, with authors and ids."""
    step = timedelta(days=_DAYS) / count
    return [
        {
            "text": f"text {mark}{number} of a long list, about as long as a tweet is, and"
            f" {'good' if number % 3 else 'bad'} in its way",
            "time": (_BEGIN + step * number).isoformat(timespec="seconds"),
            "segment": f"segment {number % _SEGMENTS}",
            "author": f"author{number * 7919 % _AUTHORS}",
            "id": f"{mark}{number}",
        }
        for number in range(count)
    ]


@contextmanager
def _service(**variables: str) -> Iterator[Sentiq]:
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder), **variables)
        sentiq.start(sentiq.is_ready)
        try:
            yield sentiq
        finally:
            sentiq.close()


def _send(sentiq: Sentiq, path: str, lines: Sequence[dict[str, Any]]) -> float:
    """Sends lines and waits until their job has ended; returns the lines per second."""
    body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    began = time.perf_counter()
    status, job = sentiq.ask("POST", path, body, _NDJSON)
    assert status == 202, job
    job = sentiq.ended(job)
    assert (job["status"], job["done"], job["failed"]) == ("succeeded", len(lines), 0), job
    return len(lines) / (time.perf_counter() - began)


def _make(sentiq: Sentiq, **settings: Any) -> str:
    path = f"/streams/measured-{uuid.uuid4().hex[:12]}"
    status, answer = sentiq.ask("PUT", path, json.dumps(settings).encode())
    assert status == 201, answer
    return path


def rate(texts: int, rounds: int, model: str) -> None:
    """The rates of jobs and of streams, in turns; a job's lines have text and id, a stream's all that it counts."""
    ratios = []
    with _service(**({"MODEL_NAME": model} if model else {})) as sentiq:
        _send(sentiq, "/batch_predict", [{"text": one["text"]} for one in made_up(texts // 5, mark="w")])
        for turn in range(rounds):
            lines = made_up(texts, mark=f"s{turn}.")
            plain = [{"text": one["text"], "id": one["id"]} for one in made_up(texts, mark=f"j{turn}.")]
            path = _make(sentiq)
            measured = {}
            for kind in ("job", "stream") if turn % 2 else ("stream", "job"):
                measured[kind] = (
                    _send(sentiq, "/batch_predict", plain) if kind == "job" else _send(sentiq, f"{path}/texts", lines)
                )
            assert sentiq.ask("GET", path)[1]["texts"] == texts
            ratios.append(measured["stream"] / measured["job"])
            print(
                f"job {measured['job']:,.0f} lines/s, stream {measured['stream']:,.0f} lines/s, ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.2f}")


def visible(per_s: float, seconds: float, beside: int) -> None:
    """The lag of new texts that come evenly, alone and beside a job."""
    with _service() as sentiq, Client(f"http://127.0.0.1:{sentiq.port}") as client:
        for kind in ("alone", "beside a job"):
            stream = client.stream(f"measured-{uuid.uuid4().hex[:12]}")
            stream.create()
            listener = Listener(stream)
            job = None
            if kind != "alone":
                job = client.submit(f"a made-up text {number} of a large job, fine" for number in range(beside))
            mark, now = uuid.uuid4().hex[:8], datetime.now(UTC)
            lines = [
                Line(now + timedelta(seconds=number / per_s), {"text": f"a good evening {mark} {number}"})
                for number in range(int(per_s * seconds))
            ]
            sent, late_s = replay(stream, lines, 1.0, seconds)
            listener.wait(sent[-1][0], 600.0)
            found = sorted(lags(sent, listener.seen))
            print(
                f"{kind}: {len(found):,} texts, {per_s:g} a second; lag median {statistics.median(found):.2f} s,"
                f" p95 {found[int(0.95 * len(found))]:.2f} s, longest {found[-1]:.2f} s;"
                f" requests were late by {late_s:.2f} s at most",
                flush=True,
            )
            if job is not None:
                state = client.job(job)
                print(f"the job: {state.done:,} of {state.total:,} texts done")
                client.cancel(job)
            listener.close()


def size(texts: int) -> None:
    """The time of series, and what the keys of a stream take by what they hold."""
    with _service(MODEL_NAME="stub") as sentiq:
        path = _make(sentiq)
        _send(sentiq, f"{path}/texts", made_up(texts, mark=""))
        print(f"{texts:,} texts with ids in {_SEGMENTS} segments over {_DAYS} days, by {_AUTHORS:,} authors")
        for bucket in ("hour", "day"):
            taken = []
            for _ in range(20):
                began = time.perf_counter()
                status, answer = sentiq.ask("GET", f"{path}/series?bucket={bucket}")
                assert status == 200, answer
                taken.append(1000 * (time.perf_counter() - began))
            print(
                f"series by {bucket}: {len(answer['items']):,} buckets,"
                f" median {statistics.median(taken):.0f} ms, longest {max(taken):.0f} ms"
            )
        redis: Any = sentiq.redis
        used: dict[str, list[int]] = {}
        for key in redis.scan_iter("sentiq:s:*:*", count=1000):
            part = key.decode().split(":")[3]
            kind = redis.type(key)
            held = {
                b"hash": redis.hlen,
                b"set": redis.scard,
                b"zset": redis.zcard,
            }.get(kind, lambda _: 1)(key)
            total = used.setdefault(part, [0, 0, 0])
            for place, more in enumerate((1, held, redis.memory_usage(key, samples=0))):
                total[place] += more
        names = {
            "m": "minute and segment",
            "q": "quarter of an hour and segment",
            "ids": "id",
            "a": "day and segment of authors",
            "sample": "text of the sample",
        }
        for part, (keys, held, taken_bytes) in sorted(used.items()):
            print(
                f"{part}: {keys:,} keys with {held:,} entries, {taken_bytes:,} bytes,"
                f" {taken_bytes / keys:,.0f} a key, {taken_bytes / held:,.1f} a {names.get(part, 'entry')}"
            )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("rate")
    one.add_argument("--texts", type=int, default=50_000)
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--model", default="stub", help="MODEL_NAME; empty: the embedded model")
    other = commands.add_parser("visible")
    other.add_argument("--rate", type=float, default=20.0, help="texts a second")
    other.add_argument("--seconds", type=float, default=60.0)
    other.add_argument("--beside", type=int, default=100_000, help="texts of the job")
    third = commands.add_parser("size")
    third.add_argument("--texts", type=int, default=200_000)
    asked = parser.parse_args()
    if asked.command == "rate":
        rate(asked.texts, asked.rounds, asked.model)
    elif asked.command == "visible":
        visible(asked.rate, asked.seconds, asked.beside)
    else:
        size(asked.texts)


if __name__ == "__main__":
    main()
