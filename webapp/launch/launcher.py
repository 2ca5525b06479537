"""Runs all of Sentiq in the foreground; this is what `sentiq serve`, and so `make run`, starts.

It is not an existing process manager because honcho ends everything when one process ends, and leaves orphans when it
is killed. The launcher starts a process that dies again, starts the embedded server first and ends it last, and lets
nothing outlive it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
import uuid
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import redis

from tasks.addresses import with_port
from tasks.errors import EX_CONFIG, SettingsRefused, refuse_to_start
from tasks.keys import Scope, new_key
from tasks.models import Model, each_once
from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.private import keep_private
from tasks.settings import Settings, load_settings
from tasks.store.embedded import MEMORY_SHARE, ServerNotFound, memory_limit, wait_until_up
from tasks.tracing import require_tracing
from webapp.launch import systemd
from webapp.launch.conditions import FolderLock, lock_folder, require_redis
from webapp.launch.lines import answered, example_line, place_line, waiting_line
from webapp.launch.monitors import flower_address, monitored, monitors, worker_ports
from webapp.launch.ports import Ports, refuse_shared_ports, require_ports
from webapp.launch.processes import Child, Console, Server, StartFailed, code_of_ours, processes_of
from webapp.server import metrics_folder
from webapp.server.exposure import refuse_open_door, refuse_unknown_callers

_DRAIN_S = 25.0
"""How long requests and chunks under way may take to finish; after that, processes are killed."""


class Launcher:
    """Starts, watches and ends the processes of one service."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self._processes = processes_of(settings)
        self._console = Console(self._processes, json=settings.log_format == "json")
        self._began_at = time.monotonic()
        self._signals = 0
        self._server: Server | None = None
        self._children: list[Child] = []
        self._lock: FolderLock | None = None
        self._metrics: Path | None = None
        self._ready = False
        self._key: str | None = None
        # If make has started the launcher, the launcher ends when make does.
        self._parent = int(os.environ.get(PARENT_VARIABLE, "0"))

    def run(self) -> int:
        """Runs until a signal; returns the exit status."""
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        failure: StartFailed | None = None
        try:
            self._prepare()
            self._ready = self._start()
            if self._ready:
                self._watch()
        except StartFailed as error:
            failure = error
        self._stop(quietly=failure is not None and not self._ready)
        if failure is None:
            return 0
        self._console.print("sentiq", str(failure))  # last, where people look
        return failure.status

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._signals += 1
        if self._signals > 1:
            for child in self._children:
                child.signal(signal.SIGKILL)

    @property
    def _ending(self) -> bool:
        return self._signals > 0 or (self._parent > 0 and os.getppid() != self._parent)

    # Start

    def _prepare(self) -> None:
        self._lock = lock_folder(self._settings.data_dir, self._console, give_up=lambda: self._ending)
        require_ports(self._settings, Ports(self._lock, self._console, give_up=lambda: self._ending))
        self._metrics = metrics_folder.metrics_folder(self._settings.data_dir)
        metrics_folder.empty(self._metrics)
        self._environment = os.environ | {
            PARENT_VARIABLE: str(os.getpid()),
            "DATA_DIR": str(self._settings.data_dir),
            "PROMETHEUS_MULTIPROC_DIR": str(self._metrics),
            **code_of_ours(),
            "PYTHONUNBUFFERED": "1",
            # The launcher shows their output, so they cannot see whether it goes to a terminal.
            "LOG_FORMAT": "json" if self._settings.log_format == "json" else "console",
            **({"FORCE_COLOR": "1"} if sys.stdout.isatty() else {}),
        }
        if monitored() and self._settings.flower_url is None:
            self._environment["FLOWER_URL"] = flower_address()
        self._environment.pop(systemd.VARIABLE, None)  # Gunicorn would report that all is ready when only Gunicorn is
        if self._settings.keys:  # a key for the first prediction; it is not used after that
            self._key, entry = new_key("launcher", [Scope.PREDICT])
            self._environment["API_KEYS"] = f"{os.environ.get('API_KEYS', '')} {entry}"
        self._ports = worker_ports(self._settings)

    def _start(self) -> bool:
        """Starts everything. Returns whether it became ready before a signal came."""
        if self._settings.embedded:
            self._start_server()
        for name, url in {
            "REDIS_URL": self._settings.cache_url,
            "CELERY_BROKER_URL": self._settings.broker_url,
            "CELERY_RESULT_BACKEND": self._settings.results_url,
        }.items():
            require_redis(name, url)
        for name, words in self._processes.items():
            environment = self._environment | self._ports.get(name, {})
            # -P keeps the current folder off Python's path: it may hold another project's `tasks` or `model`.
            self._children.append(Child(name, [sys.executable, "-P", *words], environment, self._console))
        if monitored():
            self._children += monitors(self._settings, self._environment, self._console)
        for child in self._children:
            child.start()
        return self._wait_until_ready()

    def _start_server(self) -> None:
        self._console.print("sentiq", "waiting for: the embedded server")
        assert self._lock is not None
        server = Server(self._settings, self._lock.server_fd, self._environment, self._console)
        try:
            server.start()
        except (ServerNotFound, SettingsRefused) as error:
            raise StartFailed(str(error), EX_CONFIG) from None
        self._server = server
        try:
            # A generous limit: the server first reads its append-only file, which may be large.
            wait_until_up(self._settings.cache_url, timeout_s=120, process=server.process)
        except redis.RedisError:
            raise StartFailed(
                f"The embedded server did not start on {self._settings.data_dir}; its lines above say why."
            ) from None
        gigabytes = memory_limit() / 1e9
        self._console.print(
            "sentiq",
            f"the embedded server may use {gigabytes:.1f} GB of memory, {MEMORY_SHARE:.0%} of what there is;"
            " from three quarters of that on, jobs are refused",
        )

    def _wait_until_ready(self) -> bool:
        told: tuple[list[str], list[str]] = ([], [])
        until_told = 0.0
        example = False
        while not self._ending:
            self._revive(starting_up=True)
            missing, compiling = self._missing()
            if not missing:
                break
            # Tell each change, and repeat the line every ten seconds: a large model may take a while to load.
            now = missing, [one["step"] for one in compiling]
            if now != told or time.monotonic() > until_told:
                line = waiting_line(missing, self._address, time.monotonic() - self._began_at, compiling)
                self._console.print("sentiq", line)
                if not example and answered(missing):
                    example = True
                    self._console.print("sentiq", example_line(self._address, keys=bool(self._settings.keys)))
                told, until_told = now, time.monotonic() + 10
            time.sleep(0.1)
        if not self._ending:
            self._console.print("sentiq", "waiting for: a first prediction through the queue")
        answers = [self._first_answer(model) for model in each_once(self._settings.served)]
        if self._ending:
            return False
        seconds = time.monotonic() - self._began_at
        self._console.print(
            "sentiq",
            place_line(
                self._settings.data_dir,
                datetime.now().astimezone(),
                embedded=self._settings.embedded,
                utc=self._settings.log_format == "json",
            ),
        )
        line = f"ready at {self._address} after {seconds:.1f} s ({'; '.join(answers)}); API at {self._address}/docs"
        self._console.print("sentiq", line if example else f"{line}; try:")
        if not example:
            self._console.print("sentiq", example_line(self._address, keys=bool(self._settings.keys)))
        systemd.tell("READY=1")
        return True

    def _first_answer(self, model: Model) -> str:
        """Waits for a prediction through a model's queue, or for a signal; returns what the ready line says of it."""
        # A new text each time: an answer from the cache would prove nothing.
        text = f"Sentiq is up, and that is great news ({uuid.uuid4().hex[:8]})"
        while not self._ending:
            self._revive(starting_up=True)
            body = {"text": text[-self._settings.max_text_chars :]} | (
                {} if model.is_default else {"model": model.name}
            )
            status, prediction = self._call("/predict", body, {"Prefer": "wait=5"})
            if status == 200 and not prediction["cached"]:
                return str(prediction["model"] if model.is_default else f"{model.name}: {prediction['model']}")
            text += "."
            if status in (429, 503):  # this address has used up its limit, or the web looks for the workers again soon
                time.sleep(1)
        return ""

    @property
    def _address(self) -> str:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._settings.host, self._settings.host)
        return f"http://{with_port(host, self._settings.port)}"

    def _missing(self) -> tuple[list[str], list[dict[str, Any]]]:
        """What /health misses, and which workers compile their model."""
        _, body = self._call("/health/ready")
        if not isinstance(body, dict):
            return ["web"], []
        return list(body.get("missing", ["web"])), list(body.get("compiling", []))

    def _call(
        self, path: str, body: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        authorization = {"Authorization": f"Bearer {self._key}"} if self._key is not None else {}
        headers = {"Content-Type": "application/json"} | authorization | (headers or {})
        request = urllib.request.Request(self._address + path, data, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _json_or_empty(error.read())
        except (OSError, ValueError):
            return 0, {}

    # Watch

    def _watch(self) -> None:
        while not self._ending:
            self._revive(starting_up=False)
            time.sleep(0.1)

    def _revive(self, *, starting_up: bool) -> None:
        for child in [*([self._server] if self._server else []), *self._children]:
            child.revive(starting_up=starting_up)

    # Stop

    def _stop(self, *, quietly: bool) -> None:
        """Ends the web processes first, then the workers, so that requests under way are still answered; the server
        last. `quietly`: says nothing of it, as nothing was ready.
        """
        systemd.tell("STOPPING=1")
        if (self._children or self._server) and not quietly:
            self._console.print(
                "sentiq", "stopping: finishing requests and chunks under way (Ctrl-C again kills everything)"
            )
        web = [child for child in self._children if child.name == "web"]
        self._end(web, _DRAIN_S)
        self._end([child for child in self._children if child not in web], _DRAIN_S)
        if self._server is not None:
            self._end([self._server], _DRAIN_S)
            if self._server.process is not None:
                self._server.buried(self._server.process)
            self._settings.socket_path.unlink(missing_ok=True)
        if self._metrics is not None:
            metrics_folder.remove(self._metrics)
        if self._lock is not None:
            self._lock.release()
        if self._children and not quietly:
            self._console.print("sentiq", "stopped")

    def _end(self, children: list[Child], patience_s: float) -> None:
        for child in children:
            child.signal(signal.SIGTERM)
        until = time.monotonic() + patience_s
        for child in children:
            if not child.wait(until):
                self._console.print("sentiq", f"{child.name} did not end within {patience_s:.0f} s; killing it")
                child.signal(signal.SIGKILL)
                child.wait(time.monotonic() + 5)


def _json_or_empty(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return {}


def main() -> None:
    """Runs everything until Ctrl-C or SIGTERM."""
    keep_private()
    try:
        settings = load_settings()
        refuse_open_door(settings)
        refuse_unknown_callers(settings)
        refuse_shared_ports(settings)
        require_tracing(settings)
    except SettingsRefused as error:
        refuse_to_start(error)
    sys.exit(Launcher(settings).run())
