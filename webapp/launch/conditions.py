"""What must hold before anything is started: a free port, a folder that is nobody else's, Redis servers that answer."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from tasks.addresses import with_port
from tasks.private import close_to_others
from tasks.store.embedded import wait_until_up
from webapp.launch.processes import ORPHAN_SERVER_S, Console, StartFailed

_OURS = {"launcher.lock", "server.lock", "valkey", "valkey.sock", "metrics"}
"""All that is in a DATA_DIR of Sentiq's alone."""
ORPHANS_S = ORPHAN_SERVER_S + 10
"""Seconds in which the processes of a launcher that was killed have ended."""


class Ports:
    """Ports that must be free. If the earlier start was killed, its processes are given time to end."""

    def __init__(self, lock: FolderLock, console: Console, *, give_up: Callable[[], bool]) -> None:
        self._until = time.monotonic() + (ORPHANS_S if lock.was_killed else 0.0)
        self._console = console
        self._give_up = give_up
        self._told = False

    def require(self, host: str, port: int, remedy: str) -> None:
        """Waits for the port as long as it may be that of an earlier start.

        Raises:
            StartFailed: nothing can listen there; the sentence ends in the remedy.
        """
        if (fault := self.fault(host, port)) is not None:
            raise StartFailed(
                f"Cannot listen on {with_port(host, port)} ({fault}); free it, or choose another: {remedy}"
            )

    def fault(self, host: str, port: int) -> str | None:
        """Like `require`, but returns why nothing can listen there."""
        while True:
            try:
                _listen(host, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > self._until or self._give_up():
                    return error.strerror or str(error)
            else:
                return None
            if not self._told:
                self._console.print("sentiq", "waiting for: the processes of an earlier, killed start to end")
                self._told = True
            time.sleep(0.1)


def _listen(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


@dataclass(frozen=True, slots=True)
class FolderLock:
    """Holds DATA_DIR."""

    server_fd: int
    """The server is to inherit this lock: so it is held until both have ended, even if the launcher is killed."""
    launcher_fd: int
    """This lock ends with the launcher; its file has the pid of a launcher that runs, or was killed."""
    was_killed: bool
    """Whether the launcher before this one was killed, so that its processes may still be about to end."""

    def release(self) -> None:
        """At an orderly end."""
        os.ftruncate(self.launcher_fd, 0)
        os.close(self.launcher_fd)
        os.close(self.server_fd)


def lock_folder(data_dir: Path, console: Console, *, give_up: Callable[[], bool]) -> FolderLock:
    """Makes DATA_DIR this launcher's own: two servers on one folder would ruin it.

    Raises:
        StartFailed: the folder cannot be written, or is in use.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if {path.name for path in data_dir.iterdir()} <= _OURS:  # else it may be anything, a home or a checkout
            close_to_others(data_dir)
        return _lock(data_dir, console, give_up)
    except OSError as error:
        raise StartFailed(
            f"DATA_DIR {data_dir} cannot be written ({error.strerror}); set DATA_DIR to a folder that can."
        ) from None


def _lock(data_dir: Path, console: Console, give_up: Callable[[], bool]) -> FolderLock:
    launcher_fd = os.open(data_dir / "launcher.lock", os.O_RDWR | os.O_CREAT, 0o600)
    owner = os.pread(launcher_fd, 10, 0).decode().strip()
    if not _locked(launcher_fd):
        raise StartFailed(
            f"Another Sentiq (pid {owner}) runs on {data_dir}; end it,"
            " or choose another folder: DATA_DIR=... make run, or sentiq serve --data-dir ..."
        )
    os.pwrite(launcher_fd, f"{os.getpid():<10}".encode(), 0)
    server_fd = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    until, told = time.monotonic() + ORPHANS_S, False
    while not _locked(server_fd):
        if time.monotonic() > until or give_up():
            raise StartFailed(f"A server of an earlier start still runs on {data_dir}; end it.")
        if not told:
            console.print("sentiq", "waiting for: the server of an earlier, killed start to end")
            told = True
        time.sleep(0.2)
    return FolderLock(server_fd, launcher_fd, was_killed=bool(owner))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def require_redis(name: str, url: str) -> None:
    """Raises:
    StartFailed: the server of this variable does not answer, or lets us not in.
    """
    parts = urlsplit(url)
    where = (
        f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}"
        if parts.hostname
        else f"{parts.scheme}://{parts.path}"
    )
    try:
        wait_until_up(url, timeout_s=3)
    except redis.AuthenticationError:
        raise StartFailed(f"{name} at {where} refuses the user or password; correct it in {name}.") from None
    except (redis.RedisError, ValueError):
        raise StartFailed(
            f"{name} at {where} does not answer; start that server, correct the address,"
            " or unset it to use the embedded one."
        ) from None
