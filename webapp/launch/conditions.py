"""What must hold before anything is started: a free port, a folder that is nobody else's, Redis servers that answer."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import redis

from tasks.private import close_to_others
from tasks.store.embedded import wait_until_up
from webapp.launch.processes import ORPHAN_SERVER_S, Console, StartFailed

_OURS = {"launcher.lock", "server.lock", "valkey", "valkey.sock", "metrics"}
"""All that is in a DATA_DIR of Sentiq's alone."""


def require_port(host: str, port: int) -> None:
    """Raises:
    StartFailed: nothing can listen there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise StartFailed(
            f"Cannot listen on {host}:{port} ({error.strerror}); free it,"
            f" or choose another: PORT={port + 1} make run, or sentiq serve --port {port + 1}"
        ) from None


def lock_folder(data_dir: Path, console: Console, *, give_up: Callable[[], bool]) -> int:
    """Makes DATA_DIR this launcher's own: two servers on one folder would ruin it.

    Returns:
        The descriptor of the server's lock, which the server is to inherit: so it is held until both have ended, even
        if the launcher is killed. The launcher's own lock ends with the launcher.

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


def _lock(data_dir: Path, console: Console, give_up: Callable[[], bool]) -> int:
    launcher_fd = os.open(data_dir / "launcher.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(launcher_fd):
        owner = os.pread(launcher_fd, 10, 0).decode().strip()
        raise StartFailed(
            f"Another Sentiq (pid {owner}) runs on {data_dir}; end it,"
            " or choose another folder: DATA_DIR=... make run, or sentiq serve --data-dir ..."
        )
    os.pwrite(launcher_fd, f"{os.getpid():<10}".encode(), 0)
    server_fd = os.open(data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    until, told = time.monotonic() + ORPHAN_SERVER_S + 10, False
    while not _locked(server_fd):
        if time.monotonic() > until or give_up():
            raise StartFailed(f"A server of an earlier start still runs on {data_dir}; end it.")
        if not told:
            console.print("sentiq", "waiting for: the server of an earlier, killed start to end")
            told = True
        time.sleep(0.2)
    return server_fd


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
