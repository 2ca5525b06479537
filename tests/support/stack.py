"""A complete Sentiq of real processes for tests: server, workers and Gunicorn, each of which can be killed alone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tasks.models import DEFAULT, Model
from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.settings import Settings
from tasks.store.connections import connect
from tasks.store.embedded import start_server, wait_until_up
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
STUB = "stub?delay_s=0.004&fail_on=poison"
"""A stub of about 250 texts per second, so that a job has several chunks; it fails on texts with `poison`."""

SLOW_STUB = """
import time
from model.engines.stub import StubEngine
score = StubEngine.score
def slow(self, texts):
    if any("slow" in text for text in texts):
        time.sleep(7)  # stands for native code that computes for longer than three visibility timeouts of 2 s
    return score(self, texts)
StubEngine.score = slow
"""
"""For `start_worker`: the stub is as fast as ever when its rate is measured, and slow with a text that says so."""
_IMPATIENT = """
import celeryconfig
celeryconfig.VISIBILITY_TIMEOUT_S = celeryconfig.broker_transport_options["visibility_timeout"] = {seconds}
{change}
from tasks.worker import main
main({arguments})
"""


def free_port() -> int:
    """A free TCP port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A child process whose output goes into a file."""

    def __init__(self, name: str, popen: Callable[[int], subprocess.Popen[bytes]], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._popen = popen(output.fileno())
        self.pid = self._popen.pid

    @property
    def log(self) -> str:
        """What the process has written so far."""
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether the process is running."""
        return self._popen.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while the process runs."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal if the process is running."""
        if self.running:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """Sends SIGKILL and waits for the end."""
        self.signal(signal.SIGKILL)
        self._popen.wait(10)

    def terminate(self) -> None:
        """Sends SIGTERM and waits for the end; fails if that takes more than 20 s."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        try:
            self._popen.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on SIGTERM; its log:\n{self.log[-4000:]}") from None


class Server(Process):
    """The embedded server. It cannot watch its parent, so a shell beside it kills it if the test run is killed."""

    def __init__(self, folder: Path, socket_path: Path, log: Path) -> None:
        super().__init__("server", lambda output: start_server(folder, socket_path, output=output), log)
        script = 'cat >/dev/null; kill -KILL "$0"'
        self._guard = subprocess.Popen(
            ["sh", "-c", script, str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def _unguard(self) -> None:
        if self._guard.poll() is None:
            os.killpg(self._guard.pid, signal.SIGKILL)
        self._guard.wait(10)
        if self._guard.stdin is not None:
            self._guard.stdin.close()

    def kill(self) -> None:
        """See `Process.kill`."""
        super().kill()
        self._unguard()

    def terminate(self) -> None:
        """See `Process.terminate`."""
        super().terminate()
        self._unguard()


class Stack:
    """One Sentiq, whose parts are started one by one; `close` ends everything."""

    root = ROOT
    """The folder of the code that its processes run."""
    gunicorn_conf = "python:webapp.server.gunicorn_conf"

    def __init__(self, *, model: str = STUB, url: str | None = None, **variables: str | int | float) -> None:
        """Makes the folder and the environment.

        Args:
            model: MODEL_NAME.
            url: the URL of another stack's server, to use instead of its own.
            variables: settings, in addition to those that every stack has.
        """
        # Not in pytest's folder: a unix socket's path has to be short.
        self.folder = Path(tempfile.mkdtemp(prefix="sentiq-test-"))
        self._socket = self.folder / "valkey.sock"
        self.url = url or f"unix://{self._socket}?db=0"
        self.port = free_port()
        metrics = self.folder / "metrics"
        metrics.mkdir()
        known = {name.upper() for name in Settings.model_fields}
        self.environment = {name: value for name, value in os.environ.items() if name.upper() not in known}
        self.environment |= {
            "REDIS_URL": self.url,
            "DATA_DIR": str(self.folder),
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
            "PORT": str(self.port),
            "MODEL_NAME": model,
            "ENGINE_THREADS": "1",
            PARENT_VARIABLE: str(os.getpid()),
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
        }
        self.environment |= {name: str(value) for name, value in variables.items()}
        self.redis: Any = connect(self.url, timeout_s=5.0)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        self.server: Server | None = None
        self.web: Process | None = None
        self.workers: list[Process] = []
        self._starts = 0

    def settings(self) -> Settings:
        """The settings of the stack's processes, for parts that run in the test's own process."""
        names = Settings.model_fields
        return Settings.model_validate({n: self.environment[n.upper()] for n in names if n.upper() in self.environment})

    @property
    def default_model(self) -> Model:
        """The model of requests that name none, for parts that run in the test's own process."""
        return self.settings().served[DEFAULT]

    # Start

    def start_server(self) -> Server:
        """Starts the server, with the data of an earlier one, and waits until it answers."""
        self.server = Server(self.folder / "valkey", self._socket, self.folder / "server.log")
        wait_until_up(self.url, timeout_s=20)
        return self.server

    def start_process(self, name: str, *arguments: str) -> Process:
        """Starts Python with these arguments in the stack's environment."""
        self._starts += 1

        def popen(output: int) -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        return Process(name, popen, self.folder / f"{self._starts}-{name}.log")

    def start_worker(
        self, role: str, *, wait: bool = True, model: str = DEFAULT, visibility_s: int | None = None, change: str = ""
    ) -> Process:
        """Starts a worker; with `wait`, waits until it is ready.

        Args:
            role: `interactive` or `batch`.
            wait: whether to wait.
            model: the name of the model that it serves.
            visibility_s: seconds after which a dead worker's chunks are redelivered, instead of what `celeryconfig`
                says.
            change: code that runs in the worker's process before anything else; only with `visibility_s`.
        """
        arguments = [role] if model == DEFAULT else [role, "--model", model]
        if visibility_s is None:
            worker = self.start_process(role, "-m", "tasks.worker", *arguments)
        else:
            code = _IMPATIENT.format(seconds=visibility_s, change=change, arguments=arguments)
            worker = self.start_process(role, "-c", code)
        self.workers.append(worker)
        if wait:
            self.wait_for_worker(worker)
        return worker

    def wait_for_worker(self, worker: Process) -> None:
        """Waits until this worker has announced that it is ready."""

        def ready() -> bool:
            assert worker.running, f"the {worker.name} worker ended with {worker.status}:\n{worker.log[-4000:]}"
            return any(f"-{worker.pid}-" in member.decode() for member in self.redis.smembers("sentiq:workers"))

        wait_until(ready, what=f"the {worker.name} worker to be ready", timeout_s=120)

    def start_web(self, *, wait: bool = True) -> Process:
        """Starts Gunicorn; with `wait`, waits until it answers."""
        self.web = web = self.start_process("web", "-m", "gunicorn", "-c", self.gunicorn_conf, "webapp.wsgi:app")

        def alive() -> bool:
            assert web.running, f"Gunicorn ended with {web.status}:\n{web.log[-4000:]}"
            return self.http.get("/health/live").status_code == 200

        if wait:
            wait_until(alive, what="Gunicorn to answer", timeout_s=60)
        return web

    def start(self, *roles: str) -> Stack:
        """Starts the server, Gunicorn and a worker of each role at the same time; waits until all are ready."""
        self.start_server()
        web = self.start_web(wait=False)
        workers = [self.start_worker(role, wait=False) for role in roles]
        for worker in workers:
            self.wait_for_worker(worker)

        def alive() -> bool:
            assert web.running, f"Gunicorn ended with {web.status}:\n{web.log[-4000:]}"
            return self.http.get("/health/live").status_code == 200

        wait_until(alive, what="Gunicorn to answer", timeout_s=60)
        return self

    # Look

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels, from the metrics page of all processes."""
        page = self.http.get("/metrics").text
        return sum(
            sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def texts_scored(self) -> float:
        """The number of texts that the engines of all workers have scored."""
        return self.metric("sentiment_texts_scored_total")

    def predict(self, text: str, *, prefer: str | None = None) -> httpx.Response:
        """Sends a text to /predict."""
        return self.http.post("/predict", json={"text": text}, headers={} if prefer is None else {"Prefer": prefer})

    def submit(self, texts: list[str]) -> dict[str, Any]:
        """Sends texts to /batch_predict; returns the accepted job."""
        response = self.http.post("/batch_predict", json={"texts": texts})
        assert response.status_code == 202, response.text
        job: dict[str, Any] = response.json()
        assert response.headers["Location"] == job["links"]["self"]
        return job

    def ended(self, job: dict[str, Any], *, timeout_s: float = 120.0) -> dict[str, Any]:
        """Waits until a job has ended; returns its final state."""

        def over() -> dict[str, Any] | None:
            response = self.http.get(job["links"]["self"])
            if response.status_code != 200:
                return None
            now: dict[str, Any] = response.json()
            return now if now["status"] in ("succeeded", "failed", "cancelled") else None

        return wait_until(over, what=f"job {job['id']} to end", timeout_s=timeout_s)

    def items(self, job: dict[str, Any], *, limit: int = 1000) -> list[dict[str, Any]]:
        """All lines of a job, fetched page by page."""
        items: list[dict[str, Any]] = []
        address: str | None = f"{job['links']['results']}?limit={limit}"
        while address is not None:
            response = self.http.get(address)
            assert response.status_code == 200, response.text
            page = response.json()
            items += page["items"]
            address = page["next"]
        return items

    # End

    def close(self) -> None:
        """Ends everything, the server last, and removes the folder."""
        self.http.close()
        for process in [self.web, *self.workers, self.server]:
            if process is None:
                continue
            process.signal(signal.SIGCONT)
            process.kill()
        self.redis.close()
        shutil.rmtree(self.folder, ignore_errors=True)
