"""Measures what pages cost: a stream's page that is open in many tabs while texts come in.

    python -m benchmarks.tabs [--tabs 200] [--seconds 30] [--rate 20] [--segments 2] [--by events|fetches]

It starts a Sentiq with one web process and the stub engine in an empty folder. Each tab listens to the same view, as
the page's script does; with `--by fetches` it asks for the view once a second instead, with its ETag. Texts
come in at a steady rate, in requests of a quarter of a second. Told are the share of a core that the web process takes
(less what it takes for the texts with no tab open), how often the view was drawn, the bytes of it, and the time from
the beginning of a text's request until a tab had a view with it.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.services import Sentiq

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_TICK_S = 0.25
_TABS_OF_A_THREAD = 50


def web_pid(sentiq: Sentiq) -> int:
    """The pid of the one web process that serves."""
    found = [pid for pid in sentiq.pids() if "gunicorn" in Path(f"/proc/{pid}/cmdline").read_text()]
    return max(found)  # the master is older


def cpu_s(pid: int) -> float:
    """The processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


class Sender:
    """Sends texts at a steady rate, in the background."""

    def __init__(self, sentiq: Sentiq, name: str, rate: float, segments: int) -> None:
        self.sent: list[tuple[int, float]] = []
        """How many texts had been sent with each request and those before it, and when it began."""
        self._ended = threading.Event()
        self._sentiq, self._name, self._segments = sentiq, name, segments
        self._each = max(1, round(rate * _TICK_S))
        self._total = 0
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        connection = self._sentiq.connect()
        due = time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            due += _TICK_S
            texts = [
                {
                    "text": f"{'good' if number % 3 else 'bad'} {uuid.uuid4().hex}",
                    "segment": f"s{number % self._segments}",
                }
                for number in range(self._each)
            ]
            self._total += len(texts)
            self.sent.append((self._total, time.monotonic()))
            body = json.dumps({"texts": texts})
            connection.request("POST", f"/streams/{self._name}/texts", body, {"Content-Type": "application/json"})
            connection.getresponse().read()
        connection.close()

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class Tab:
    """One tab that listens, as bytes: the benchmark must not cost more than what it measures."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode())
        self.listens = False
        """Whether the service has answered that it sends events."""
        self.views = 0
        self.bytes = 0
        self.seen: list[tuple[int, float]] = []
        self._rest = b""

    def read(self) -> None:
        """Takes what has come."""
        data = self.socket.recv(1 << 20)
        if not self.bytes:
            self.listens = data.startswith(b"HTTP/1.1 200 ")
        self.bytes += len(data)
        found = (self._rest + data).split(b"event: view")
        self.views += len(found) - 1
        whole = b"data-texts=" in found[-1][:20_000]
        for piece in found:
            _, mark, after = piece.partition(b'data-texts=\\"')
            if mark and b"\\" in after:
                self.seen.append((int(after.partition(b"\\")[0]), time.monotonic()))
        self._rest = b"" if whole else found[-1][-20_000:]


@contextmanager
def listening(port: int, path: str, count: int) -> Iterator[list[Tab]]:
    """Tabs that listen until the end of the block."""
    import selectors

    tabs = [Tab(port, path) for _ in range(count)]
    ended = threading.Event()

    def read() -> None:
        selector = selectors.DefaultSelector()
        for tab in tabs:
            selector.register(tab.socket, selectors.EVENT_READ, tab)
        while not ended.is_set():
            for key, _ in selector.select(0.2):
                key.data.read()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield tabs
    finally:
        ended.set()
        thread.join()
        for tab in tabs:
            tab.socket.close()


@contextmanager
def fetching(sentiq: Sentiq, path: str, count: int) -> Iterator[list[int]]:
    """Tabs that ask once a second, each when it is its turn."""
    ended = threading.Event()
    fetched: list[int] = []

    def fetch(number: int) -> None:
        connections = [sentiq.connect() for _ in range(min(_TABS_OF_A_THREAD, count - number))]
        etags = [""] * len(connections)
        while not ended.is_set():
            began = time.monotonic()
            for place, connection in enumerate(connections):
                connection.request("GET", path, headers={"If-None-Match": etags[place]} if etags[place] else {})
                answer = connection.getresponse()
                fetched.append(len(answer.read()))
                etags[place] = answer.getheader("ETag", "")
            ended.wait(max(0.0, 1.0 - (time.monotonic() - began)))
        for connection in connections:
            connection.close()

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(0, count, _TABS_OF_A_THREAD)]
    for thread in threads:
        thread.start()
    try:
        yield fetched
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def main() -> None:
    """Measures and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tabs", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=20.0, help="texts per second")
    parser.add_argument("--segments", type=int, default=2)
    parser.add_argument("--by", choices=("events", "fetches"), default="events")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sentiq-") as folder:
        sentiq = Sentiq(Path(folder), MODEL_NAME="stub", WEB_CONCURRENCY="1")
        sentiq.start(sentiq.is_ready)
        try:
            _measure(sentiq, asked)
        finally:
            sentiq.close()


def _measure(sentiq: Sentiq, asked: argparse.Namespace) -> None:
    name = f"b{uuid.uuid4().hex[:8]}"
    status, _ = sentiq.ask("PUT", f"/streams/{name}", b"{}")
    assert status == 201, status
    pid = web_pid(sentiq)
    with Sender(sentiq, name, asked.rate, asked.segments) as sender:
        time.sleep(3.0)
        before, began = cpu_s(pid), time.monotonic()
        time.sleep(min(10.0, asked.seconds))
        alone = (cpu_s(pid) - before) / (time.monotonic() - began)
        path = f"/streams/{name}/view"
        if asked.by == "fetches":
            with fetching(sentiq, path, asked.tabs) as fetched:
                time.sleep(3.0)
                fetched.clear()
                before, began = cpu_s(pid), time.monotonic()
                time.sleep(asked.seconds)
                seconds = time.monotonic() - began
                share = (cpu_s(pid) - before) / seconds
                print(f"{len(fetched) / seconds:.0f} fetches a second, {statistics.mean(fetched) / 1000:.1f} kB each")
        else:
            with listening(sentiq.port, f"{path}/events", asked.tabs) as tabs:
                time.sleep(3.0)
                if refused := sum(not tab.listens for tab in tabs):
                    raise SystemExit(f"{refused} of {asked.tabs} tabs were refused")
                counts, sizes = sum(tab.views for tab in tabs), sum(tab.bytes for tab in tabs)
                before, began = cpu_s(pid), time.monotonic()
                time.sleep(asked.seconds)
                seconds = time.monotonic() - began
                share = (cpu_s(pid) - before) / seconds
                views = sum(tab.views for tab in tabs) - counts
                size = (sum(tab.bytes for tab in tabs) - sizes) / max(views, 1)
                print(f"{views / asked.tabs / seconds:.2f} views a second in each tab, {size / 1000:.1f} kB each")
                fewest, most = min(had := [tab.views for tab in tabs]), max(had)
                print(f"a tab had {fewest} to {most} views in all")
                lags = _lags(sender.sent, tabs[0].seen)
                had = tabs[0].seen[-1][0] if tabs[0].seen else 0
                print(f"of {sender.sent[-1][0]} texts sent, a tab had {had} at the end")
                print(f"lag until a tab had it: median {statistics.median(lags):.2f} s, longest {max(lags):.2f} s")
    print(f"{asked.tabs} tabs by {asked.by}: {100 * (share - alone):.1f} % of a core")
    print(f"the same texts without a tab: {100 * alone:.1f} % of a core; with tabs in all {100 * share:.1f} %")


def _lags(sent: list[tuple[int, float]], seen: list[tuple[int, float]]) -> list[float]:
    found = []
    for total, at_s in sent:
        later = next((when for texts, when in seen if texts >= total and when >= at_s), None)
        if later is not None and seen and at_s > seen[0][1]:
            found.append(later - at_s)
    return found or [0.0]


if __name__ == "__main__":
    main()
