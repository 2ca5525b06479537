"""The parts of the launcher: processes that are started again when they end, and one output for all of them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import multiprocess

from tasks.background import Loop
from tasks.errors import CANNOT_START, EX_CONFIG
from tasks.models import each_once
from tasks.settings import Settings
from tasks.store.embedded import start_server

PROCESSES = {
    "interactive": ("-m", "tasks.worker", "interactive"),
    "batch": ("-m", "tasks.worker", "batch"),
    "web": ("-m", "webapp.server", "-c", "python:webapp.server.gunicorn_conf", "webapp.wsgi:app"),
}
"""The processes of a service with one model: for each name the arguments of Python, as in the Procfile."""
ROLES = ("interactive", "batch")
"""The workers that each model has."""
_ROOT = Path(__file__).resolve().parents[2]
ORPHAN_SERVER_S = 10
"""How long the server outlives a launcher that was killed, so that the other processes can store what they have."""
_COLOURS = {"server": 35, "interactive": 32, "batch": 33, "web": 36, "sentiq": 1, "flower": 34, "exporter": 34}
_DEATHS_AT_START = 3
"""How often a process may die before everything is ready; then the start has failed."""
_NOT_WORTH_A_LINE = ("Memory overcommit must be enabled", "Inspect method ")
"""What the server warns of at each start on most machines, and what does not matter for so small a server; and Flower's
warnings while no worker answers it, as at each start.
"""


class StartFailed(Exception):
    """Nothing can be started; the message is one sentence that says what to do."""

    def __init__(self, sentence: str, status: int = 1) -> None:
        """`status`: the exit status, EX_CONFIG if starting again will not help."""
        super().__init__(sentence)
        self.status = status


def processes_of(settings: Settings) -> dict[str, tuple[str, ...]]:
    """`PROCESSES`, and a pair of workers for each further model: `interactive@NAME` and `batch@NAME`."""
    more = [(role, model) for model in each_once(settings.served)[1:] for role in ROLES]
    return PROCESSES | {f"{role}{model.at}": (*PROCESSES[role], "--model", model.name) for role, model in more}


def code_of_ours() -> dict[str, str]:
    """Environment variables with which Python, in any folder, imports the same code as the launcher."""
    if Path(sysconfig.get_path("purelib")).resolve() == _ROOT:
        return {}  # installed: Python finds it anyway, after its own modules
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))}


class Console:
    """Writes the lines of many processes to one output, each with the name of its process in front; with `json`, each
    as a JSON object that has the name in it.
    """

    def __init__(self, names: Iterable[str] = (), *, json: bool = False) -> None:
        """`names`: those of processes, besides the usual ones."""
        self._json = json
        self._lock = threading.Lock()
        self._colour = sys.stdout.isatty()
        self._width = max(map(len, {*_COLOURS, *names}))

    def print(self, name: str, line: str) -> None:
        """Writes one line."""
        if self._json:
            text = line if line.startswith('{"time": ') else self._as_json(name, line)
        else:
            prefix = f"{name:<{self._width}} |"
            text = (
                f"\033[{_COLOURS.get(name.partition('@')[0], 0)}m{prefix}\033[0m {line}"
                if self._colour
                else f"{prefix} {line}"
            )
        with self._lock:
            try:
                print(text, flush=True)
            except (BrokenPipeError, ValueError):
                pass  # nobody reads the output any more; that is no reason to stop serving

    @staticmethod
    def _as_json(name: str, line: str) -> str:
        """A line of a process that does not write JSON, with the fields that `tasks.logs` gives to other lines."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return json.dumps(
            {"time": now, "level": "info", "role": "launcher" if name == "sentiq" else name, "event": line}
        )

    def follow(self, name: str, process: subprocess.Popen[bytes], refusals: list[str]) -> threading.Event:
        """Copies a process's output until it ends. If the copying ended sooner, the pipe would fill and the process
        stand still.

        Args:
            name: the process's name.
            process: the process.
            refusals: gets the sentences in which it says that it cannot start, which are not printed: several processes
                may have the same one.

        Returns:
            What is set when all is copied.
        """
        ended = threading.Event()

        def copy() -> None:
            assert process.stdout is not None
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                if line.startswith(CANNOT_START):
                    refusals.append(line)
                elif not any(words in line for words in _NOT_WORTH_A_LINE):
                    self.print(name, line)
            ended.set()

        Loop(f"{name} output", copy, limit_s=math.inf, stop=ended).start()
        return ended


class Child:
    """One process that is started again when it ends."""

    def __init__(
        self,
        name: str,
        argv: list[str],
        environment: dict[str, str],
        console: Console,
        *,
        inherited: Sequence[int] = (),
    ) -> None:
        """`inherited`: file descriptors that the process gets, under the same numbers."""
        self.name = name
        self._argv = argv
        self._environment = environment
        self._inherited = tuple(inherited)
        self._console = console
        self._started_at = 0.0
        self._not_before = 0.0
        self._deaths_in_a_row = 0
        self._refusals: list[str] = []
        self._copied = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process, in a session of its own, so that Ctrl-C reaches only the launcher."""
        self._started_at = time.monotonic()
        self.process = self._popen()
        self._copied = self._console.follow(self.name, self.process, self._refusals)

    def _popen(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._argv,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self._inherited,
        )

    def change(self, environment: dict[str, str], inherited: Sequence[int]) -> None:
        """Sets what the process gets when it is started the next time."""
        self._environment, self._inherited = environment, tuple(inherited)

    def revive(self, *, starting_up: bool) -> None:
        """Starts the process again if it has ended, after a pause that grows if it keeps dying quickly.

        Raises:
            StartFailed: starting again will not help. Only while everything starts: later, it is tried again and again.
        """
        now = time.monotonic()
        if self.process is not None:
            status = self.process.poll()
            if status is None:
                return
            self.buried(self.process)
            if status == EX_CONFIG:
                self._copied.wait(5)
                why = [*self._refusals, f"The {self.name} process cannot run with these settings; its lines say why."]
                if starting_up:
                    raise StartFailed(why[0], EX_CONFIG)
                # What it needs was there when everything started, and may be again; the others go on.
                self._console.print("sentiq", f"{self.name}: {why[0]}")
                self._refusals.clear()
            self._deaths_in_a_row = self._deaths_in_a_row + 1 if starting_up or now - self._started_at < 10 else 0
            if starting_up and self._deaths_in_a_row >= _DEATHS_AT_START:
                raise StartFailed(
                    f"The {self.name} process ended {_DEATHS_AT_START} times while starting; its last lines say why."
                )
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            self._not_before = now + min(5.0, 0.1 * 2**self._deaths_in_a_row)
            self._console.print("sentiq", f"{self.name} (pid {self.process.pid}) ended {how}; starting it again")
            self.process = None
        if now >= self._not_before:
            self.start()

    def buried(self, process: subprocess.Popen[bytes]) -> None:
        """Called when the process has ended: its gauges no longer count."""
        multiprocess.mark_process_dead(process.pid, self._environment["PROMETHEUS_MULTIPROC_DIR"])

    def signal(self, number: int) -> None:
        """Sends a signal; SIGKILL goes to everything that the process has started as well."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            if number == signal.SIGKILL:
                os.killpg(self.process.pid, number)
            else:
                self.process.send_signal(number)
        except ProcessLookupError:
            pass

    def wait(self, until: float) -> bool:
        """Waits for the process to end, at most until this time of `time.monotonic`. Returns whether it has ended."""
        if self.process is None:
            return True
        try:
            self.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True


class Server(Child):
    """The embedded server, and a shell, the guard, that ends it if the launcher is killed: the server cannot watch its
    parent itself.
    """

    def __init__(self, settings: Settings, lock_fd: int, environment: dict[str, str], console: Console) -> None:
        super().__init__("server", [], environment, console)
        self._settings = settings
        self._lock_fd = lock_fd
        self._guard: subprocess.Popen[bytes] | None = None

    def _popen(self) -> subprocess.Popen[bytes]:
        process = start_server(
            self._settings.data_dir / "valkey",
            self._settings.socket_path,
            output=subprocess.PIPE,
            keep_open=(self._lock_fd,),
        )
        # The guard's input ends when the launcher does, however that happens.
        script = f'cat >/dev/null; sleep {ORPHAN_SERVER_S}; kill -TERM "$0"'
        self._guard = subprocess.Popen(
            ["sh", "-c", script, str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        return process

    def buried(self, process: subprocess.Popen[bytes]) -> None:
        """Ends the guard, which must not outlive the server: another process may get the server's pid."""
        if self._guard is not None:
            os.killpg(self._guard.pid, signal.SIGKILL)
            self._guard.wait()
            self._guard = None
