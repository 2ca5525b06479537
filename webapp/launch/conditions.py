"""What must hold before anything is started: a folder that no other service uses, Redis servers that answer."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import redis

from tasks.errors import EX_CONFIG
from tasks.private import close_to_others
from tasks.store.embedded import wait_until_up
from webapp.launch.processes import ORPHAN_SERVER_S, Console, StartFailed

_OURS = {"launcher.lock", "server.lock", "valkey", "valkey.sock", "metrics", "uploads"}
"""All that is in a DATA_DIR of Sentiq's alone."""
ORPHANS_S = ORPHAN_SERVER_S + 10
"""Seconds in which the processes of a launcher that was killed have ended."""


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
    """Locks DATA_DIR for this launcher: two embedded servers on one folder would ruin its data.

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
            f"DATA_DIR {data_dir} cannot be written ({error.strerror}); set DATA_DIR to a folder that can.", EX_CONFIG
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
    """Checks that the Redis server that this variable names answers.

    Raises:
        StartFailed: it does not answer, or refuses the login.
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
        raise StartFailed(f"{name} at {where} refuses the user or password; correct it in {name}.", EX_CONFIG) from None
    except (redis.RedisError, ValueError, TypeError):  # TypeError: for an option that redis-py does not know
        raise StartFailed(
            f"{name} at {where} does not answer; start that server, correct the address,"
            " or unset it to use the embedded one."
        ) from None
