"""Replays a file into a stream at many times its speed, with a listener, and says how long counting lags behind.

    python -m benchmarks.replay --data PATH [--speed 100] [--from TIME] [--seconds 300] [--beside 50000] [--url URL]

The file is CSV, also gzipped, with the columns time (ISO 8601), text, and any of segment, author, id. Texts are sent
when they are due: those of a quarter of a second together. The listener reads the stream's events. A text's lag is the
time from the beginning of its request until the listener was told of so many texts. `--beside` has a job of so many
made-up texts running at the same time. Without `--url` the command starts a Sentiq of its own in an empty folder, and
ends it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import itertools
import statistics
import tempfile
import threading
import time
import uuid
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.services import Sentiq as Service
from webapp.client import Sentiq, Shift, Stream, StreamNotFound, StreamState

TICK_S = 0.25


class Line(NamedTuple):
    """A line of the file, and when it was written."""

    at: datetime
    text: dict[str, Any]


class Seen(NamedTuple):
    """That so many texts were counted when the listener was told, by the clock of `time.monotonic`."""

    texts: int
    at_s: float


def read(path: Path, start: datetime | None) -> list[Line]:
    """The lines from a time on, in the order of their times."""
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        rows = [
            {name: row[name] for name in ("time", "text", "segment", "author", "id") if row.get(name)}
            for row in csv.DictReader(file)
        ]
    lines = [Line(datetime.fromisoformat(row["time"]), row) for row in rows if "text" in row and "time" in row]
    return sorted((line for line in lines if start is None or line.at >= start), key=lambda line: line.at)


class Listener:
    """Listens to a stream in the background."""

    def __init__(self, stream: Stream) -> None:
        self.seen: list[Seen] = []
        self.shifts: list[Shift] = []
        self.events = 0
        self._stream = stream
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for event in self._stream.events():
                self.events += 1
                if isinstance(event.data, StreamState):
                    state = event.data
                    counted = state.texts + state.failed + state.unsupported_language + state.repeated
                    self.seen.append(Seen(counted, time.monotonic()))
                elif isinstance(event.data, Shift):
                    self.shifts.append(event.data)
        except StreamNotFound:
            pass

    def close(self) -> None:
        """Deletes the stream, which ends its events."""
        self._stream.delete()
        self._thread.join(30)

    def wait(self, texts: int, timeout_s: float) -> None:
        """Waits until it was told of so many texts."""
        until = time.monotonic() + timeout_s
        while not self.seen or self.seen[-1].texts < texts:
            if time.monotonic() > until:
                raise SystemExit(f"only {self.seen[-1].texts if self.seen else 0} of {texts} texts were counted")
            time.sleep(0.05)


def replay(
    stream: Stream, lines: Sequence[Line], speed: float, seconds: float
) -> tuple[list[tuple[int, float]], float]:
    """Sends lines when they are due. Returns, for each request, how many texts were sent with it and those before it
    and when it began; and the longest time by which a request was late.
    """
    sent: list[tuple[int, float]] = []
    began_s, late_s, total = time.monotonic(), 0.0, 0
    due = ((line, (line.at - lines[0].at).total_seconds() / speed) for line in lines)
    for tick, group in itertools.groupby(due, key=lambda one: int(one[1] / TICK_S)):
        due_s = (tick + 1) * TICK_S
        if due_s > seconds:
            break
        time.sleep(max(0.0, began_s + due_s - time.monotonic()))
        at_s = time.monotonic()
        late_s = max(late_s, at_s - began_s - due_s)
        texts = [line.text for line, _ in group]
        stream.send(texts)
        total += len(texts)
        sent.append((total, at_s))
    return sent, late_s


def lags(sent: Sequence[tuple[int, float]], seen: Sequence[Seen]) -> list[float]:
    """The lag of each text, in seconds."""
    counted = [one.texts for one in seen]
    found: list[float] = []
    before = 0
    for total, at_s in sent:
        found += [seen[bisect_left(counted, number)].at_s - at_s for number in range(before + 1, total + 1)]
        before = total
    return found


@contextmanager
def service(url: str | None) -> Iterator[str]:
    """The address of a service: that which is given, or one that is started."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        own = Service(Path(folder))
        own.start(own.is_ready)
        try:
            yield f"http://127.0.0.1:{own.port}"
        finally:
            own.close()


def main() -> None:
    """Replays the file and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--speed", type=float, default=100.0)
    parser.add_argument("--from", dest="start", type=datetime.fromisoformat)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long to replay at most")
    parser.add_argument("--beside", type=int, default=0, help="texts of a job that runs at the same time")
    parser.add_argument("--url", help="a service that is running")
    asked = parser.parse_args()
    lines = read(asked.data, asked.start)
    if not lines:
        parser.error("the file has no texts with a time, or none from that time on")
    with ExitStack() as stack:
        sentiq = stack.enter_context(Sentiq(stack.enter_context(service(asked.url))))
        stream = sentiq.stream(f"replay-{uuid.uuid4().hex[:12]}")
        stream.create()
        listener = Listener(stream)
        stack.callback(listener.close)
        job = None
        if asked.beside:
            job = sentiq.submit(
                f"a made-up text {number} of a large job, which is fine" for number in range(asked.beside)
            )
        sent, late_s = replay(stream, lines, asked.speed, asked.seconds)
        total = sent[-1][0]
        listener.wait(total, 600.0)
        found = sorted(lags(sent, listener.seen))
        told = lines[total - 1].at - lines[0].at
        print(f"{total:,} texts, {told} at {asked.speed:g} times their speed, in {len(sent):,} requests")
        print(f"requests were late by {late_s:.2f} s at most")
        print(
            f"lag until the listener was told: median {statistics.median(found):.2f} s,"
            f" p95 {found[int(0.95 * len(found))]:.2f} s, longest {found[-1]:.2f} s; {listener.events:,} events"
        )
        if job is not None:
            now = sentiq.job(job)
            print(f"the job beside it: {now.done:,} of {now.total:,} texts done")
            sentiq.cancel(job)
        time.sleep(3.0)  # the search for shifts looks once a second
        for shift in listener.shifts:
            print(f"shift: {shift.sentence}")
        segments = [one["segment"] for one in stream.state().segments or () if one["segment"]]
        if 2 <= len(segments) <= 20:
            for comparison in stream.compare(*segments):
                print(comparison.sentence)


if __name__ == "__main__":
    main()
