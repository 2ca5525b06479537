"""Starts Sentiq as users do, by the launcher or make, in a process and a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import httpx

from tasks.parent import VARIABLE as PARENT_VARIABLE
from tasks.settings import Settings
from tests.support.stack import ROOT, free_port
from tests.support.waiting import wait_until

MAKE_RUN = ("make", "run", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.run")
"""`make run` with the environment that the tests run in, which counts as installed."""
LAUNCHER = (f"{sys.prefix}/bin/sentiq", "serve")


class Launched:
    """A running Sentiq. `close` ends it with all its processes."""

    def __init__(
        self,
        folder: Path,
        *,
        command: tuple[str, ...] = LAUNCHER,
        cwd: Path = ROOT,
        model: str = "stub",
        **variables: str | int | float,
    ) -> None:
        """Starts Sentiq.

        Args:
            folder: DATA_DIR.
            command: the command that a user types.
            cwd: the folder in which the command runs.
            model: MODEL_NAME.
            variables: further settings.
        """
        self.folder = folder
        self.port = int(variables.get("PORT", free_port()))
        known = {name.upper() for name in Settings.model_fields} | {PARENT_VARIABLE, "PROMETHEUS_MULTIPROC_DIR"}
        environment = {name: value for name, value in os.environ.items() if name.upper() not in known}
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # set if make is running the tests
            environment.pop(name, None)
        environment |= {
            "DATA_DIR": str(folder),
            "PORT": str(self.port),
            "MODEL_NAME": model,
            "ENGINE_THREADS": "1",
            "WEB_CONCURRENCY": "1",
        }
        environment |= {name: str(value) for name, value in variables.items()}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    @property
    def output(self) -> str:
        """What Sentiq has printed so far."""
        return "\n".join(self.lines)

    def has_printed(self, words: str) -> bool:
        """Whether these words are in the output."""
        return words in self.output

    def wait_until_ready(self, *, timeout_s: float = 90) -> Launched:
        """Waits until Sentiq has said that it is ready."""

        def ready() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.poll()}:\n{self.output}"
            return re.search(r"ready at http://127\.0\.0\.1:\d+ after", self.output) is not None

        wait_until(ready, what="Sentiq to say that it is ready", timeout_s=timeout_s)
        return self

    def ended(self, *, timeout_s: float = 60) -> int:
        """Waits for the launcher's end; returns its exit status."""
        status = self.process.wait(timeout_s)
        self._reader.join(10)
        return status

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Sends a signal to the launcher; returns its exit status."""
        self.process.send_signal(number)
        return self.ended()

    def members(self) -> list[int]:
        """The pids of its processes: those whose environment or command (in /proc) names its folder."""
        mark, found = os.fsencode(self.folder), []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
        return found

    def member(self, words: str) -> int:
        """The pid of the process whose command has these words; the lowest, as a master starts before its workers."""
        if (found := self.find(words)) is None:
            raise AssertionError(f"no process runs {words}")
        return found

    def find(self, words: str) -> int | None:
        """Like `member`; None if there is no such process."""
        return next(iter(self.find_all(words)), None)

    def find_all(self, words: str) -> list[int]:
        """The pids of all processes whose command has these words, in ascending order."""
        found = []
        for pid in sorted(self.members()):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if words in command and pid != self.process.pid:
                found.append(pid)
        return found

    def wait_until_gone(self) -> None:
        """Waits until all its processes have ended."""
        wait_until(lambda: not self.members(), what="every process of it to be gone", timeout_s=40)

    def close(self) -> None:
        """Kills all processes at once."""
        self.http.close()
        for pid in [self.process.pid, *self.members()]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        self.process.wait(10)


class Folders:
    """Makes temporary folders with short paths, as the path of a unix socket must be short."""

    def __init__(self) -> None:
        self._made: list[Path] = []

    def make(self) -> Path:
        """Makes a new, empty folder."""
        self._made.append(Path(tempfile.mkdtemp(prefix="sentiq-e2e-")))
        return self._made[-1]

    def remove(self) -> None:
        """Removes all the folders."""
        for folder in self._made:
            shutil.rmtree(folder, ignore_errors=True)
