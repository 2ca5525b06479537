"""A host on which Sentiq runs as docs/deploy.md has it under systemd, and on which blocks of docs/runbook.md are run as
they stand. There is no systemd: a command of the name `systemctl` starts and ends the real service.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tasks.keys import Scope, new_key
from tasks.settings import Settings
from tasks.store.embedded import find_server
from tests.support.stack import ROOT, Stack

RUNBOOK = ROOT / "docs" / "runbook.md"
_SYSTEMCTL = """#!{python}
import os, signal, socket, subprocess, sys, time
word, unit = sys.argv[1:]
assert unit == "sentiq", unit
folder = {folder!r}
def running(pid):
    try:
        with open(f"/proc/{{pid}}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
if word in ("stop", "restart"):
    pid = int(open(f"{{folder}}/pid").read())
    if running(pid):
        os.kill(pid, signal.SIGTERM)
    while running(pid):
        time.sleep(0.05)
if word in ("start", "restart"):
    lines = open(f"{{folder}}/sentiq.env").read().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(f"{{folder}}/log", "ab") as log:
        address = f"{{folder}}/notify{{time.monotonic_ns()}}"
        ready.bind(address)
        ready.settimeout(1)
        started = subprocess.Popen(
            [f"{{folder}}/opt/bin/sentiq", "serve"], env=os.environ | settings | {{"NOTIFY_SOCKET": address}},
            cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )
        open(f"{{folder}}/pid", "w").write(str(started.pid))
        while True:
            try:
                if b"READY=1" in ready.recv(1000):
                    break
            except TimeoutError:
                if started.poll() is not None:
                    sys.exit(f"sentiq ended with {{started.returncode}}")
"""
_VERSION = """#!/bin/sh
PYTHONPATH={code} exec {python} -c 'import sys; sys.argv[0] = "sentiq"; from webapp.client.cli import main; main()' "$@"
"""


def blocks() -> dict[str, list[str]]:
    """The commands of the runbook's procedures, by heading."""
    text = RUNBOOK.read_text().partition("\n## Procedures\n")[2]
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    return {name: _commands(body) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def preamble() -> str:
    """What each block begins with."""
    (found,) = _commands(RUNBOOK.read_text().partition("\n## Procedures\n")[2].partition("\n### ")[0])
    return found


def _commands(text: str) -> list[str]:
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


class Host(Stack):
    """The host; what a stack has to look at a service is of use here, what starts one is not."""

    def __init__(self, **settings: str | int) -> None:
        super().__init__()
        self.key, entry = new_key("ops", [Scope.ADMIN])
        self.http.headers["Authorization"] = f"Bearer {self.key}"
        self.settings_file, self.keys_file = self.folder / "sentiq.env", self.folder / "keys"
        self.keys_file.write_text(f"{entry}\n")
        self.data, self.backups = self.folder / "data", self.folder / "backups"
        self.backups.mkdir()
        self.set(
            DATA_DIR=str(self.data), PORT=self.port, MODEL_NAME="stub", ENGINE_THREADS=1, WEB_CONCURRENCY=1,
            API_KEYS_FILE=str(self.keys_file), **settings,
        )  # fmt: skip
        commands = self.folder / "commands"
        commands.mkdir()
        self._script(commands / "systemctl", _SYSTEMCTL.format(python=sys.executable, folder=str(self.folder)))
        (commands / "valkey-server").symlink_to(find_server())
        self.version("this", ROOT)
        (self.folder / "opt").symlink_to(self.folder / "this")
        known = {name.upper() for name in Settings.model_fields} | {"PROMETHEUS_MULTIPROC_DIR", "PYTHONPATH"}
        self.environment = {name: value for name, value in os.environ.items() if name not in known}
        self.environment |= {
            "PATH": f"{commands}:{sys.prefix}/bin:{os.environ['PATH']}",
            "SETTINGS": str(self.settings_file),
            "OPT": str(self.folder / "opt"),
            "BACKUPS": str(self.backups),
            "SENTIQ_URL": str(self.http.base_url),
            "SENTIQ_API_KEY": self.key,
        }

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o700)

    def version(self, name: str, code: Path) -> Path:
        """The folder of a version of Sentiq: its command, with this environment's packages."""
        folder = self.folder / name
        (folder / "bin").mkdir(parents=True)
        self._script(folder / "bin" / "sentiq", _VERSION.format(code=code, python=sys.executable))
        return folder

    def set(self, **settings: str | int) -> None:
        """Puts settings into the service's file."""
        lines = self.settings_file.read_text().splitlines() if self.settings_file.exists() else []
        kept = [line for line in lines if line.partition("=")[0] not in settings]
        self.settings_file.write_text("\n".join([*kept, *(f"{name}={value}" for name, value in settings.items()), ""]))

    def systemctl(self, word: str) -> None:
        """Starts, restarts or stops the service."""
        command = [str(self.folder / "commands" / "systemctl"), word, "sentiq"]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + self.log

    @property
    def log(self) -> str:
        """What the service has printed."""
        return (self.folder / "log").read_text() if (self.folder / "log").exists() else ""

    @property
    def pid(self) -> int:
        """The launcher's."""
        return int((self.folder / "pid").read_text())

    def worker(self, role: str) -> int:
        """The pid of this role's worker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        (found,) = (pid for pid in children if f"tasks.worker\0{role}" in Path(f"/proc/{pid}/cmdline").read_text())
        return int(found)

    def script(self, heading: str, number: int = 0) -> str:
        """A block of a procedure, with what each begins with."""
        return f"{preamble()}{blocks()[heading][number]}"

    def follow(self, heading: str, number: int = 0, /, **variables: str) -> str:
        """Runs a block as it stands; returns what it prints."""
        # Into a file, not a pipe: a server that it starts keeps its output open.
        with (self.folder / "printed").open("w+") as printed:
            done = subprocess.run(
                ["sh", "-eu", "-c", self.script(heading, number)], env=self.environment | variables, cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, timeout=200, check=False,
            )  # fmt: skip
            printed.seek(0)
            said = printed.read()
        assert done.returncode == 0, f"{said}\n{self.log[-4000:]}"
        return said

    def close(self) -> None:
        """Ends the service and what the procedures have started."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                ours = os.fsencode(self.folder) in (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            except OSError:
                continue  # it has ended meanwhile
            if ours:
                os.kill(int(entry.name), signal.SIGKILL)
        super().close()
