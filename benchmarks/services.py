"""A service that a benchmark starts in an empty folder, measures and ends again; and callers of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import redis

ROOT = Path(__file__).resolve().parent.parent
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A free TCP port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Answer(NamedTuple):
    """A service's answer for one text; label and cached are only known for a 200."""

    status: int
    label: str | None = None
    cached: bool | None = None


class StartFailed(Exception):
    """The service ended, or gave no prediction, after its start; the message is the end of the log."""


class Service:
    """A service in processes of its own. Subclasses say what is started and how requests are made."""

    name = ""
    path = "/predict"
    around = ('{"text":', "}")
    """The parts of a request's body before and after the text, which is written as JSON."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self._log = (folder / "log").open("ab")
        self._processes: list[subprocess.Popen[bytes]] = []

    def commands(self) -> list[list[str]]:
        """The commands to start."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """The environment variables that are set for it, in addition to those of the benchmark."""
        return {}

    def start(self, is_up: Callable[[], bool], timeout_s: float = 180.0) -> float:
        """Starts it; returns the seconds until it was up. Raises StartFailed."""
        began = time.perf_counter()
        variables = {name: value for name, value in os.environ.items() if name != "SENTIQ_PARENT"} | self.environment()
        for argv in self.commands():
            self._processes.append(
                subprocess.Popen(
                    argv, cwd=ROOT, env=variables, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
                )
            )
        while True:
            with contextlib.suppress(OSError, HTTPException):
                if is_up():
                    return time.perf_counter() - began
            ended = any(process.poll() is not None for process in self._processes)
            if ended or time.perf_counter() - began > timeout_s:
                self.close()
                lines = (self.folder / "log").read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise StartFailed("\n".join(lines[-20:]))
            time.sleep(0.02)

    def connect(self) -> HTTPConnection:
        """A new connection."""
        return HTTPConnection("127.0.0.1", self.port, timeout=3600)

    def predict(self, connection: HTTPConnection, text: str) -> Answer:
        """Sends one text over an open connection."""
        status, body = exchange(connection, "POST", self.path, json.dumps(text).join(self.around).encode())
        return Answer(status, *self.read(body)) if status == 200 else Answer(status)

    def read(self, body: Any) -> tuple[str, bool | None]:
        """Reads label and cached from the body of a 200."""
        return body["label"], body["cached"]

    def pids(self) -> list[int]:
        """The pids of its processes and of their children."""
        parents: dict[int, list[int]] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                # State and parent come after the name, which may contain blanks and brackets.
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                parents.setdefault(parent, []).append(int(entry.name))
        found, rest = [], [process.pid for process in self._processes]
        while rest:
            found.append(pid := rest.pop())
            rest += parents.get(pid, [])
        return found

    def cpu_s(self) -> float:
        """The processor time that its living processes have used."""
        ticks = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / _TICKS_PER_S

    def signal(self, number: int) -> None:
        """Sends a signal to each of its processes."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self) -> None:
        """Ends its processes, the last one first, by SIGTERM; what is left after a minute, by SIGKILL."""
        self.signal(signal.SIGCONT)  # it may be paused
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes.clear()
        self._log.close()


def exchange(
    connection: HTTPConnection, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Sends one request; returns status and JSON. The body is sent as JSON unless the headers say otherwise."""
    headers = {"Content-Type": "application/json"} | (headers or {})
    connection.request(method, path, body, headers, encode_chunked=not isinstance(body, bytes | None))
    answer = connection.getresponse()
    raw = answer.read()
    return answer.status, json.loads(raw) if raw else None


class Sentiq(Service):
    """Sentiq as `make run` starts it, with the settings of the environment and further ones."""

    name = "Sentiq"

    def __init__(self, folder: Path, **variables: str) -> None:
        super().__init__(folder)
        self._variables = variables

    def commands(self) -> list[list[str]]:
        """The command of the launcher."""
        return [[str(Path(sys.executable).parent / "sentiq"), "serve"]]

    def environment(self) -> dict[str, str]:
        """Its folder, its port, and the further settings."""
        return {"PORT": str(self.port), "DATA_DIR": str(self.folder), "PYTHONUNBUFFERED": "1"} | self._variables

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Sends one request on a connection of its own; returns status and JSON."""
        with contextlib.closing(self.connect()) as connection:
            return exchange(connection, method, path, body, headers)

    def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        return self.ask("GET", "/health/ready")[0] == 200

    def submit(self, texts: Sequence[str]) -> dict[str, Any]:
        """Submits these texts as a job, as NDJSON."""
        body = b"".join(json.dumps(text).encode() + b"\n" for text in texts)
        status, job = self.ask("POST", "/batch_predict", body, {"Content-Type": "application/x-ndjson"})
        assert status == 202, (status, job)
        return job  # type: ignore[no-any-return]

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """Waits until the job has ended, and returns it."""
        while job["status"] in ("queued", "running"):
            job = self.ask("GET", job["links"]["self"], headers={"Prefer": "wait=30"})[1]
        return job

    @cached_property
    def redis(self) -> redis.Redis:
        """A client of its embedded server."""
        return redis.Redis(unix_socket_path=str(self.folder / "valkey.sock"))

    def resident_mb(self) -> dict[str, float]:
        """The peak memory of each kind of process so far, in MB; of several of a kind, that of the largest."""
        found: dict[str, float] = {}
        kinds = {
            "gunicorn": "web",
            "tasks.worker interactive": "interactive",
            "tasks.worker batch": "batch",
            "valkey": "server",
        }
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                peak = next(
                    line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")
                )
                kind = next((name for mark, name in kinds.items() if mark in words), None)
                if kind is not None:
                    found[kind] = max(found.get(kind, 0), int(peak.split()[1]) / 1000)
        return found

    def used_mb(self) -> float:
        """The memory of the server's data."""
        return self.redis.info("memory")["used_memory"] / 1e6  # type: ignore[index, no-any-return]

    def disk_mb(self) -> float:
        """The size of the server's files."""
        return (
            sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file() and "valkey" in str(path))
            / 1e6
        )


class Callers:
    """Several callers, each of whom sends new texts until they are stopped."""

    def __init__(self, service: Service, texts: Iterator[str], count: int, rate: float) -> None:
        """`rate`: requests per second of all callers together; 0 for as fast as they are answered."""
        self.seconds: list[float] = []
        self.statuses: dict[int, int] = {}
        self.answers: list[tuple[str, Answer]] = []
        self._service, self._texts, self._period_s = service, texts, count / rate if rate else 0.0
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._call) for _ in range(count)]

    def _call(self) -> None:
        connection = self._service.connect()
        due = time.perf_counter()
        while not self._stop.wait(max(0.0, due - time.perf_counter())):
            with self._lock:
                text = next(self._texts)
            due = max(due, time.perf_counter() - 1) + self._period_s
            started = time.perf_counter()
            answer = self._service.predict(connection, text)
            with self._lock:
                self.seconds.append(time.perf_counter() - started)
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                self.answers.append((text, answer))
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
        """The number of answers, their statuses, p50 and p95."""
        cuts = statistics.quantiles(self.seconds, n=20)
        return f"{len(self.seconds)} answers {self.statuses}, p50 {1000 * cuts[9]:.1f} ms, p95 {1000 * cuts[18]:.1f} ms"

    @property
    def p95_s(self) -> float:
        """The p95 of all answers."""
        return statistics.quantiles(self.seconds, n=20)[18]
